"""How much the log keeps of an answer, and of which answers."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.tier import Tier
from stepwell.features.request_features import replayed_rows, request_rows
from stepwell.feedback.shown_slate import ShownSlate
from stepwell.pipeline.candidate import CandidateSet, DrawnPlace, RankedSet
from stepwell.pipeline.query import FeatureBatch, Query, UserContext
from stepwell.pipeline.slate import Computed, Slate
from stepwell.schema.vocabulary import Vocabulary
from stepwell.serving.item_labels import ItemNames
from stepwell.serving.responses import ReleaseFacts
from stepwell.serving.shown_slates import LoggedShares, ShownSlates
from stepwell_pb.v1 import common_pb2

MILLION = 1_000_000


class _Names:
    def name_of_row(self, row: int) -> str:
        return f"Item {row}"


FACTS = ReleaseFacts(
    "v000001",
    "ab",
    Vocabulary.build([f"item-{row}" for row in range(20)]),
    cast(ItemNames, _Names()),
    bytes(range(32)),
)
CANDIDATES = CandidateSet.of_rows(np.arange(10, 20))
DENSE = np.arange(30, dtype=np.float32).reshape(10, 3)
STATE = np.zeros(10, np.dtype([("clicks", "<f4")]))
COMPUTED = Computed(
    Tier.FULL,
    Tier.REDUCED,
    CANDIDATES,
    FeatureBatch(DENSE, np.zeros((10, 0), np.int64), None, STATE, 77),
)
READS = (("history", "ann", b"row"),)
USER = replace(UserContext.unknown("ann"), reads=READS)


def _slate(computed: Computed | None = COMPUTED) -> Slate:
    scores = np.zeros(10, np.float32)
    ranked = RankedSet(CANDIDATES, scores, scores[:, None]).taken(np.array([7, 2]))
    tier = Tier.REDUCED if computed is not None else Tier.POPULAR
    return Slate(
        ranked, tier, source_failures={"ann": "late"}, user=USER, computed=computed
    )


def _noted(
    draw: int, shares: LoggedShares, computed: Computed | None = COMPUTED
) -> ShownSlate:
    noted: list[ShownSlate] = []
    slates = ShownSlates(noted.append, shares)
    query = Query(
        request_id="r",
        user_id="ann",
        num_items=5,
        event_time=1_000,
        deadline=Deadline.after_us(FakeClock(), 1),
        excluded_rows=np.array([3]),
        given_rows=np.arange(10, 20),
        is_replayable=slates.is_replayable(draw),
    )
    slates.note(query, _slate(computed), FACTS, (), draw)
    (shown,) = noted
    return shown


def test_the_log_gets_the_features_of_what_was_shown_in_its_order() -> None:
    shown = _noted(0, LoggedShares())
    assert shown.item_ids == ("item-17", "item-12")
    assert shown.served is not None
    assert shown.served.schema_hash == FACTS.feature_schema_hash
    assert np.array_equal(shown.served.dense, DENSE[[7, 2]])


def test_the_log_gets_all_that_a_replayable_request_read() -> None:
    replay = _noted(5, LoggedShares(replayable_ppm=MILLION)).replay
    assert replay is not None
    assert replay.rows == READS
    assert replay.num_items == 5
    assert replay.retrieved_tier == common_pb2.TIER_FULL
    assert replay.scored_tier == common_pb2.TIER_REDUCED
    assert replay.given
    assert replay.excluded_rows.tolist() == [3]
    assert replay.candidates is CANDIDATES
    assert (replay.item_state, replay.item_state_offset) == (STATE.tobytes(), 77)
    assert (replay.index_id, replay.failed_sources) == ("ab", ("ann",))


def test_the_place_that_chance_decided_is_logged_with_its_probability() -> None:
    noted: list[ShownSlate] = []
    slate = _slate()
    drawn = replace(slate.ranked, drawn=DrawnPlace(1, 0.25, is_explored=True))
    query = Query("r", "ann", 5, 1_000, Deadline.after_us(FakeClock(), 1))
    slates = ShownSlates(noted.append)
    slates.note(query, replace(slate, ranked=drawn), FACTS, (), 0)
    assert noted[0].propensities is not None
    assert noted[0].propensities.tolist() == [1.0, 0.25]
    assert _noted(0, LoggedShares()).propensities is None


def test_a_replayable_request_keeps_what_its_caller_said() -> None:
    noted: list[ShownSlate] = []
    rows = request_rows({"local_hour": 7}, 1_000)
    query = Query(
        request_id="r",
        user_id="ann",
        num_items=5,
        event_time=1_000,
        deadline=Deadline.after_us(FakeClock(), 1),
        is_replayable=True,
        request_rows=rows,
    )
    ShownSlates(noted.append).note(query, _slate(), FACTS, (), 0)
    assert noted[0].replay is not None
    assert noted[0].replay.rows[:1] == READS
    assert replayed_rows(noted[0].replay.rows) == rows


def test_a_slate_from_memory_is_logged_without_either() -> None:
    shown = _noted(0, LoggedShares(MILLION, MILLION), computed=None)
    assert shown.served is None
    assert shown.replay is None


@pytest.mark.parametrize("ppm", [0, 10_000, 500_000, MILLION])
def test_as_many_answers_bring_more_as_their_share_says(ppm: int) -> None:
    slates = ShownSlates(lambda _: None, LoggedShares(replayable_ppm=ppm))
    draws = range(MILLION)
    num_replayable = sum(slates.is_replayable(draw) for draw in draws)
    assert num_replayable == ppm


def test_the_ladders_probes_are_replayable_as_often_as_other_requests() -> None:
    slates = ShownSlates(lambda _: None, LoggedShares(replayable_ppm=100_000))
    probes = sum(slates.is_replayable(draw) for draw in range(1_000))
    assert probes == pytest.approx(100, abs=10)


def test_a_share_beyond_all_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="served_ppm is 1000001"):
        LoggedShares(served_ppm=MILLION + 1)
