"""Lanes: the kinds of calls that one load run mixes."""

from collections.abc import Sequence
from dataclasses import dataclass

from stepwell.base.errors import InvalidArgumentError
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.types import Priority, Tier
from stepwell_pb.v1 import recommend_pb2

RECOMMEND = "/stepwell_pb.v1.RecommendService/Recommend"
RANK = "/stepwell_pb.v1.RecommendService/Rank"
MAX_REQUEST_BYTES = 60_000
"""One request fits the window that an HTTP/2 stream begins with."""


@dataclass(frozen=True)
class Lane:
    """One kind of call.

    Attributes:
        name: in reports.
        requests: serialized messages, taken in turn; at least one.
        method: full gRPC method.
        deadline_ms: of every call, all its attempts together, from when it was due.
        retries: how a failed call is tried again; None tries once. The rules and the
            budget are those of the product's own client.
    """

    name: str
    requests: tuple[bytes, ...]
    method: str = RECOMMEND
    deadline_ms: int = 200
    retries: RetryOptions | None = None

    def __post_init__(self) -> None:
        if not self.requests:
            raise InvalidArgumentError(f"lane {self.name} has no request", "requests")
        largest = max(map(len, self.requests))
        if largest > MAX_REQUEST_BYTES:
            raise InvalidArgumentError(
                f"lane {self.name} has a request of {largest} bytes, must be <= "
                f"{MAX_REQUEST_BYTES}",
                "requests",
            )
        if not 1 <= self.deadline_ms <= 99_000:
            raise InvalidArgumentError(
                f"deadline_ms is {self.deadline_ms}, must be in [1, 99000]",
                "deadline_ms",
            )


def recommend_lane(
    name: str,
    user_ids: Sequence[str],
    *,
    num_items: int = 10,
    tier: Tier = Tier.UNSPECIFIED,
    priority: Priority = Priority.UNSPECIFIED,
    deadline_ms: int = 200,
    exclude_item_ids: Sequence[str] = (),
    retries: RetryOptions | None = None,
) -> Lane:
    """Returns a lane that asks for slates of the users in turn.

    Args:
        name: of the lane.
        user_ids: who asks; one alone is a hot user.
        num_items: K of every call.
        tier: forced; UNSPECIFIED leaves it to the server.
        priority: of every call.
        deadline_ms: of every call.
        exclude_item_ids: items never to show.
        retries: as in Lane.
    """
    requests = tuple(
        recommend_pb2.RecommendRequest(
            user_id=user_id,
            num_items=num_items,
            exclude_item_ids=exclude_item_ids,
            surface="load",
            # As the client does: the server learns how long the call was under way.
            deadline_ms=deadline_ms if deadline_ms <= 60_000 else 0,
            priority=int(priority),  # type: ignore[arg-type]
            forced_tier=int(tier),  # type: ignore[arg-type]
        ).SerializeToString()
        for user_id in user_ids
    )
    return Lane(name, requests, deadline_ms=deadline_ms, retries=retries)
