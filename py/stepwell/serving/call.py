"""A checked request on its way through the server, free of gRPC."""

import uuid
from dataclasses import dataclass

from stepwell.degradation.admission_queue import Priority
from stepwell.degradation.controller import Arrival, draw
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell_pb.v1 import common_pb2, recommend_pb2

TIER_OF_WIRE = {
    common_pb2.TIER_FULL: Tier.FULL,
    common_pb2.TIER_REDUCED: Tier.REDUCED,
    common_pb2.TIER_POPULAR: Tier.POPULAR,
}
"""Tiers by their wire number; TIER_UNSPECIFIED is absent."""

WIRE_OF_TIER = {tier: number for number, tier in TIER_OF_WIRE.items()}
"""Wire numbers by tier."""

WIRE_OF_REASON: "dict[Reason, common_pb2.Reason]" = {
    reason: getattr(common_pb2, f"REASON_{reason.name}") for reason in Reason
}
"""Wire numbers by reason."""

_PRIORITY_OF_WIRE = {
    recommend_pb2.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    recommend_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    recommend_pb2.PRIORITY_PREFETCH: Priority.PREFETCH,
    recommend_pb2.PRIORITY_BATCH: Priority.BATCH,
}

AnyRequest = recommend_pb2.RecommendRequest | recommend_pb2.RankRequest


@dataclass(frozen=True, slots=True)
class Call:
    """What the worker needs of a request; every field is within its limit.

    Attributes:
        num_items: K; for a Rank call that wants all, the number of candidates.
        given_item_ids: the candidates of a Rank call, None for Recommend.
    """

    request_id: str
    user_id: str
    num_items: int
    arrival: Arrival
    priority: Priority
    excluded_item_ids: tuple[str, ...] = ()
    given_item_ids: tuple[str, ...] | None = None
    surface: str = ""
    explain: bool = False


def call_of(request: AnyRequest, now_us: int, deadline_us: int) -> Call:
    """Returns the call of a checked request that arrived now.

    Args:
        request: a Recommend or Rank request that passed validation.
        now_us: monotonic time of arrival.
        deadline_us: monotonic time past which nobody listens.
    """
    request_id = request.request_id or uuid.uuid4().hex
    arrival = Arrival(
        arrived_us=now_us,
        deadline_us=deadline_us,
        user_draw=draw(request.user_id),
        request_draw=draw(request_id),
        forced=TIER_OF_WIRE.get(request.forced_tier),
    )
    excluded: tuple[str, ...] = ()
    given: tuple[str, ...] | None = None
    if isinstance(request, recommend_pb2.RankRequest):
        given = tuple(dict.fromkeys(request.candidate_item_ids))
    else:
        excluded = tuple(request.exclude_item_ids)
    return Call(
        request_id=request_id,
        user_id=request.user_id,
        num_items=request.num_items or len(given or ()),
        arrival=arrival,
        priority=_PRIORITY_OF_WIRE[request.priority],
        excluded_item_ids=excluded,
        given_item_ids=given,
        surface=request.surface,
        explain=request.explain,
    )


def budget_of(deadline_ms: int, grpc_seconds: float | None, default_us: int) -> int:
    """Returns the microseconds a call has: the earlier of its two deadlines.

    Args:
        deadline_ms: the request's field; 0 when not set.
        grpc_seconds: what is left of the gRPC deadline; None when the call has none.
        default_us: the server's, for a call with neither.
    """
    budgets = [deadline_ms * 1_000] if deadline_ms else []
    if grpc_seconds is not None:
        budgets.append(int(grpc_seconds * 1e6))
    return min(budgets, default=default_us)
