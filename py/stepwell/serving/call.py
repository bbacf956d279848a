"""A checked request on its way through the server, free of gRPC."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.controller import Arrival, draw
from stepwell.degradation.priority import Priority
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import MILLION
from stepwell.features.request_features import check_request_features
from stepwell.serving.limits import MAX_DEADLINE_MS
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


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class DeadlineRules:
    """What holds for calls that bring no deadline.

    Attributes:
        default_us: the deadline they get.
        required: they are refused.
    """

    default_us: int = 200_000
    required: bool = False


@dataclass(slots=True)
class Call:
    """What the worker needs of a request; every field is within its limit.

    Not frozen: there is one a request, and that would double what it costs. Nobody
    changes one.

    Attributes:
        num_items: K; for a Rank call that wants all, the number of candidates.
        given_item_ids: the candidates of a Rank call, None for Recommend.
        is_cancelled: True once nobody waits for the answer; work on it may stop.
        request_features: what the caller says of the moment, by name.
    """

    request_id: str
    user_id: str
    num_items: int
    arrival: Arrival
    excluded_item_ids: tuple[str, ...] = ()
    given_item_ids: tuple[str, ...] | None = None
    surface: str = ""
    explain: bool = False
    is_cancelled: Callable[[], bool] = _never
    request_features: Mapping[str, float] = field(default_factory=dict)


def call_of(
    request: AnyRequest,
    arrived_us: int,
    deadline_us: int,
    is_cancelled: Callable[[], bool] = _never,
) -> Call:
    """Returns the call of a checked request.

    Args:
        request: a Recommend or Rank request that passed validation.
        arrived_us: monotonic time of arrival.
        deadline_us: monotonic time past which nobody listens.
        is_cancelled: True once nobody waits for the answer.
    Raises:
        InvalidArgumentError: names the feature of the request that cannot be.
    """
    user_id, request_id = request.user_id, request.request_id
    if request_id:
        request_draw = draw(request_id)
    else:
        chance = random.getrandbits(64)
        # Ids that follow each other lie together in the event log, which looks them up.
        request_id = f"{arrived_us:016x}{chance:016x}"
        request_draw = chance % MILLION
    # By position: keywords cost as much again.
    arrival = Arrival(
        arrived_us,
        deadline_us,
        draw(user_id),
        request_draw,
        TIER_OF_WIRE.get(request.forced_tier),
        _PRIORITY_OF_WIRE[request.priority],
    )
    excluded: tuple[str, ...] = ()
    given: tuple[str, ...] | None = None
    if isinstance(request, recommend_pb2.RankRequest):
        given = tuple(dict.fromkeys(request.candidate_item_ids))
    else:
        excluded = tuple(request.exclude_item_ids)
    return Call(
        request_id,
        user_id,
        request.num_items or len(given or ()),
        arrival,
        excluded,
        given,
        request.surface,
        request.explain,
        is_cancelled,
        said_of(request),
    )


def said_of(request: AnyRequest) -> Mapping[str, float]:
    """Returns the request's own features, checked.

    Raises:
        InvalidArgumentError: names the feature, its value and its range.
    """
    said = dict(request.request_features)
    check_request_features(said)
    return said


def budget_of(given_us: int | None, rules: DeadlineRules) -> int:
    """Returns the microseconds that a call has from arrival to its deadline.

    Args:
        given_us: what the caller gave it, the earlier of the request's field and
            gRPC's own; None without either.
        rules: for a call with neither.
    Raises:
        InvalidArgumentError: a deadline is required and there is none.
    """
    if given_us is not None:
        return min(given_us, MAX_DEADLINE_MS * 1_000)
    if rules.required:
        text = (
            "deadline_ms is 0, must be in [1, 60000] ms: every call needs a deadline, "
            "this field or gRPC's own"
        )
        raise InvalidArgumentError(text, "deadline_ms")
    return rules.default_us
