"""A checked request on its way through the server, free of gRPC."""

import random
from dataclasses import dataclass, field

from stepwell.base.errors import InvalidArgumentError
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


@dataclass(slots=True, eq=False)
class Caller:
    """Whoever waits for an answer. Concurrency: `gone` turns True once, never back."""

    gone: bool = False

    def has_gone(self) -> bool:
        """True when nobody waits any more: work on the call may stop."""
        return self.gone


@dataclass(frozen=True, slots=True)
class DeadlineRules:
    """What holds for calls that bring no deadline.

    Attributes:
        default_us: the deadline they get.
        required: they are refused.
    """

    default_us: int = 200_000
    required: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """What the worker needs of a request; every field is within its limit.

    Attributes:
        num_items: K; for a Rank call that wants all, the number of candidates.
        given_item_ids: the candidates of a Rank call, None for Recommend.
        caller: whether anybody still waits for the answer.
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
    caller: Caller = field(default_factory=Caller)


def call_of(request: AnyRequest, now_us: int, deadline_us: int) -> Call:
    """Returns the call of a checked request that arrived now.

    Args:
        request: a Recommend or Rank request that passed validation.
        now_us: monotonic time of arrival.
        deadline_us: monotonic time past which nobody listens.
    """
    # Ids that follow each other lie together in the event log, which looks them up.
    request_id = request.request_id or f"{now_us:016x}{random.getrandbits(64):016x}"
    priority = _PRIORITY_OF_WIRE[request.priority]
    arrival = Arrival(
        arrived_us=now_us,
        deadline_us=deadline_us,
        user_draw=draw(request.user_id),
        request_draw=draw(request_id),
        forced=TIER_OF_WIRE.get(request.forced_tier),
        priority=priority,
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
        priority=priority,
        excluded_item_ids=excluded,
        given_item_ids=given,
        surface=request.surface,
        explain=request.explain,
    )


def arrival_us(
    now_us: int, lag_us: int, deadline_ms: int, grpc_seconds: float | None
) -> int:
    """Returns when a call arrived that the event loop has only now come to.

    A caller who sets the request's field and the gRPC deadline to the same time tells
    exactly how long the call has been under way: gRPC's runs since its first byte came.
    A difference beyond half of the field's time is no wait: the two never were equal.

    Args:
        now_us: monotonic time.
        lag_us: how long a call may have waited, for callers who do not tell.
        deadline_ms: the request's field; 0 when not set.
        grpc_seconds: what is left of the gRPC deadline; None when the call has none.
    """
    if deadline_ms and grpc_seconds is not None:
        run_us = deadline_ms * 1_000 - int(grpc_seconds * 1e6)
        if 0 <= run_us <= deadline_ms * 500:
            return now_us - run_us
    return now_us - lag_us


def budget_of(
    deadline_ms: int, grpc_seconds: float | None, rules: DeadlineRules
) -> int:
    """Returns the microseconds a call has: the earlier of its two deadlines.

    Args:
        deadline_ms: the request's field; 0 when not set.
        grpc_seconds: what is left of the gRPC deadline; None when the call has none.
        rules: for a call with neither.
    Raises:
        InvalidArgumentError: a deadline is required and there is none.
    """
    budgets = [deadline_ms * 1_000] if deadline_ms else []
    if grpc_seconds is not None:
        budgets.append(int(grpc_seconds * 1e6))
    if not budgets and rules.required:
        text = (
            "deadline_ms is 0, must be in [1, 60000] ms: every call needs a deadline, "
            "this field or gRPC's own"
        )
        raise InvalidArgumentError(text, "deadline_ms")
    return min(budgets, default=rules.default_us)
