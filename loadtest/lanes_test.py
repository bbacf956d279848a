"""Lanes hold what the server is asked for, and refuse what cannot travel."""

import pytest

from lanes import Lane, recommend_lane
from stepwell.base.errors import InvalidArgumentError
from stepwell.client.types import Priority, Tier
from stepwell_pb.v1 import recommend_pb2


def test_a_lane_asks_for_each_user_in_turn() -> None:
    lane = recommend_lane(
        "some",
        ["u1", "u2"],
        num_items=7,
        tier=Tier.REDUCED,
        priority=Priority.PREFETCH,
        exclude_item_ids=["i1"],
    )
    first, second = map(recommend_pb2.RecommendRequest.FromString, lane.requests)
    assert (first.user_id, second.user_id) == ("u1", "u2")
    assert (first.num_items, first.forced_tier, first.priority) == (7, 2, 2)
    assert list(second.exclude_item_ids) == ["i1"]


@pytest.mark.parametrize(
    ("requests", "deadline_ms", "words"),
    [
        ((), 200, "no request"),
        ((b"x" * 60_001,), 200, "60001 bytes"),
        ((b"x",), 0, "must be in"),
        ((b"x",), 100_000, "must be in"),
    ],
)
def test_a_lane_that_cannot_be_sent_is_refused(
    requests: tuple[bytes, ...], deadline_ms: int, words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        Lane("odd", requests, deadline_ms=deadline_ms)
