"""Requests as the server sees them, and the words of the wire."""

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.priority import Priority
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.serving.call import (
    WIRE_OF_REASON,
    WIRE_OF_TIER,
    DeadlineRules,
    budget_of,
    call_of,
)
from stepwell_pb.v1 import common_pb2, recommend_pb2


def test_a_recommend_request_becomes_a_call() -> None:
    request = recommend_pb2.RecommendRequest(
        user_id="u",
        num_items=7,
        exclude_item_ids=["a", "b"],
        priority=recommend_pb2.PRIORITY_BATCH,
        forced_tier=common_pb2.TIER_REDUCED,
        request_id="r",
        surface="home",
        explain=True,
    )
    call = call_of(request, arrived_us=5, deadline_us=99)
    assert (call.request_id, call.user_id, call.num_items) == ("r", "u", 7)
    assert call.excluded_item_ids == ("a", "b")
    assert call.given_item_ids is None
    assert (call.surface, call.explain) == ("home", True)
    assert call.arrival.priority is Priority.BATCH
    assert not call.is_cancelled()
    assert (call.arrival.arrived_us, call.arrival.deadline_us) == (5, 99)
    assert call.arrival.forced is Tier.REDUCED


def test_a_rank_request_loses_repeated_candidates_and_wants_all_by_default() -> None:
    request = recommend_pb2.RankRequest(user_id="u", candidate_item_ids=["a", "b", "a"])
    call = call_of(request, 0, 1)
    assert call.given_item_ids == ("a", "b")
    assert call.num_items == 2
    assert call.arrival.forced is None


def test_the_server_names_a_request_without_an_id() -> None:
    request = recommend_pb2.RecommendRequest(user_id="u", num_items=1)
    one, other = call_of(request, 0, 1), call_of(request, 0, 1)
    assert one.request_id
    assert one.request_id != other.request_id
    assert one.arrival.user_draw == other.arrival.user_draw


@pytest.mark.parametrize(
    ("given_us", "expected_us"),
    [(None, 200_000), (50_000, 50_000), (0, 0), (90_000_000, 60_000_000)],
)
def test_a_call_has_what_its_caller_gave_it_within_limits(
    given_us: int | None, expected_us: int
) -> None:
    assert budget_of(given_us, DeadlineRules(default_us=200_000)) == expected_us


def test_a_deadline_that_is_required_may_not_be_missing() -> None:
    rules = DeadlineRules(required=True)
    assert budget_of(50_000, rules) == 50_000
    with pytest.raises(InvalidArgumentError, match=r"deadline_ms is 0.*\[1, 60000\]"):
        budget_of(None, rules)


def test_reasons_and_tiers_have_their_wire_numbers() -> None:
    assert {r: int(n) for r, n in WIRE_OF_REASON.items()} == {r: int(r) for r in Reason}
    unspecified = {common_pb2.REASON_UNSPECIFIED}
    assert set(WIRE_OF_REASON.values()) == set(common_pb2.Reason.values()) - unspecified
    assert WIRE_OF_TIER[Tier.FULL] == common_pb2.TIER_FULL
    assert len(WIRE_OF_TIER) == len(common_pb2.Tier.values()) - 1
