"""The hydrator against figures worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.catalogue import (
    ABSENT_RANK,
    OWN_FEATURES,
    USER_FEATURES,
    FeatureCatalogue,
)
from stepwell.features.item_columns import ItemColumns
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet
from stepwell.pipeline.query import FeatureBatch, Query, UserContext
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.schema.user_history import UserHistory

ROWS = np.array([3, 0, 5, 1], np.int64)


@pytest.fixture
def hydrator(items: ItemColumns, catalogue: FeatureCatalogue) -> CandidateFeatures:
    return CandidateFeatures(items, catalogue)


def _column(hydrator: CandidateFeatures, batch: FeatureBatch, name: str) -> list[float]:
    place = hydrator.catalogue.dense_names.index(name)
    return [float(value) for value in batch.dense[:, place]]


def _close(expected: list[float]) -> object:
    return pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.fixture
def batch(hydrator: CandidateFeatures, query: Query, user: UserContext) -> FeatureBatch:
    return hydrator.hydrate(query, user, CandidateSet.of_rows(ROWS))


def test_shapes_and_types_are_the_catalogues(
    hydrator: CandidateFeatures, batch: FeatureBatch
) -> None:
    assert batch.dense.shape == (4, len(hydrator.catalogue.dense))
    assert batch.dense.dtype == np.float32
    assert batch.dense.flags.c_contiguous
    assert batch.sparse.dtype == np.int64
    assert batch.sparse.tolist() == [[2, 2], [1, 2], [0, 2], [1, 2]]


def test_own_features_tell_how_often_and_how_lately(
    hydrator: CandidateFeatures, batch: FeatureBatch
) -> None:
    assert _column(hydrator, batch, "own_is") == [1, 1, 0, 0]
    assert _column(hydrator, batch, "own_count") == [1, 3, 0, 0]
    assert _column(hydrator, batch, "own_idle_days") == _close([60, 10, 400, 400])
    recent = [2 ** (-60 / 30), sum(2 ** (-d / 30) for d in (10, 20, 30)), 0, 0]
    assert _column(hydrator, batch, "own_recent") == _close(recent)
    # Row 0: 20 days over 2 gaps, with the item's 7 days as one more gap.
    interval = [28.0, (20 + 7) / 3, 400, 400]
    assert _column(hydrator, batch, "own_interval_days") == _close(interval)
    assert _column(hydrator, batch, "own_due") == _close([60 / 28, 10 / 9, 0, 0])
    assert _column(hydrator, batch, "own_rank") == [1, 0, 5_000, 5_000]
    assert _column(hydrator, batch, "own_value") == _close([4.0, 4 / 3, 0, 0])


def test_affinity_features_tell_how_much_of_a_category_is_the_users(
    hydrator: CandidateFeatures, batch: FeatureBatch
) -> None:
    assert _column(hydrator, batch, "affinity_department_count") == [1, 3, 0, 3]
    assert _column(hydrator, batch, "affinity_department_items") == [1, 1, 0, 1]
    idle = _column(hydrator, batch, "affinity_department_idle_days")
    assert idle == _close([60, 10, 400, 10])
    fit = _column(hydrator, batch, "affinity_department_price_fit")
    usual = 4 / 3 + 0.1
    assert fit == _close([0.0, np.log(1.1 / usual), 0.0, np.log(2.1 / usual)])


def test_user_features_are_the_same_for_every_candidate(
    hydrator: CandidateFeatures, batch: FeatureBatch
) -> None:
    assert _column(hydrator, batch, "user_trips") == [4, 4, 4, 4]
    assert _column(hydrator, batch, "user_basket") == [1, 1, 1, 1]
    assert _column(hydrator, batch, "user_novelty") == [0.5] * 4
    assert np.all(batch.dense[:, : len(USER_FEATURES)] == batch.dense[0, :8])


def test_sources_that_did_not_emit_have_the_rank_of_absence(
    hydrator: CandidateFeatures, query: Query, user: UserContext
) -> None:
    scores = np.zeros((1, len(SOURCE_NAMES)), np.float32)
    ranks = np.full((1, len(SOURCE_NAMES)), -1, np.int16)
    scores[0, 1], ranks[0, 1] = 0.75, 4
    batch = hydrator.hydrate(query, user, CandidateSet(ROWS[:1], scores, ranks))
    assert _column(hydrator, batch, "source_co_occurrence_score") == [0.75]
    assert _column(hydrator, batch, "source_co_occurrence_rank") == [4.0]
    assert _column(hydrator, batch, "source_ann_rank") == [ABSENT_RANK]


def test_a_stranger_gets_the_declared_defaults(
    hydrator: CandidateFeatures, query: Query
) -> None:
    stranger = UserContext.unknown("nobody")
    batch = hydrator.hydrate(query, stranger, CandidateSet.of_rows(ROWS))
    for feature in (*USER_FEATURES, *OWN_FEATURES):
        assert _column(hydrator, batch, feature.name) == [feature.default] * 4
    assert np.isfinite(batch.dense).all()


def test_no_candidates_is_no_error(
    hydrator: CandidateFeatures, query: Query, user: UserContext
) -> None:
    batch = hydrator.hydrate(query, user, CandidateSet.of_rows(ROWS[:0]))
    assert batch.dense.shape == (0, len(hydrator.catalogue.dense))
    assert batch.sparse.shape == (0, 2)


def test_an_early_clock_makes_no_negative_age(
    hydrator: CandidateFeatures, query: Query, user: UserContext
) -> None:
    early = replace(query, event_time=query.event_time - 300 * DAY_SECONDS)
    batch = hydrator.hydrate(early, user, CandidateSet.of_rows(ROWS))
    for name in ("own_idle_days", "user_idle_days", "item_age_days"):
        assert min(_column(hydrator, batch, name)) >= 0
    assert np.isfinite(batch.dense).all()


def test_items_unknown_to_the_release_do_not_shift_the_others(
    hydrator: CandidateFeatures, query: Query, user: UserContext
) -> None:
    history = user.history
    keys = np.append(history.keys, np.uint64(12_345))
    times = np.append(history.last_time, history.last_time[0])
    longer = UserHistory.from_events(keys, times)
    rows = np.where(longer.keys == 12_345, -1, 0)
    rows[longer.keys == history.keys[1]] = 3
    batch = hydrator.hydrate(
        query,
        replace(user, history=longer, history_rows=rows),
        CandidateSet.of_rows(ROWS),
    )
    assert _column(hydrator, batch, "own_is") == [1, 1, 0, 0]
    assert _column(hydrator, batch, "own_idle_days") == _close([60, 10, 400, 400])


@settings(max_examples=25)
@given(order=st.permutations(range(7)))
def test_a_candidates_features_do_not_depend_on_its_place(order: list[int]) -> None:
    hydrator, query, user = _fixed()
    rows = np.arange(7)
    straight = hydrator.hydrate(query, user, CandidateSet.of_rows(rows))
    mixed = hydrator.hydrate(query, user, CandidateSet.of_rows(rows[order]))
    np.testing.assert_array_equal(straight.dense[order], mixed.dense)
    np.testing.assert_array_equal(straight.sparse[order], mixed.sparse)


def _fixed() -> tuple[CandidateFeatures, Query, UserContext]:
    """The fixtures' values, for hypothesis, which takes no function fixtures."""
    from stepwell.base.clock import FakeClock
    from stepwell.base.deadline import Deadline

    names = "num_events num_buyers buyers_7d buyers_28d buyers_84d decayed_7d"
    names += " decayed_21d decayed_60d decayed_120d repeat_share mean_interval_days"
    tensors: dict[str, np.ndarray] = {
        f"number/{name}": np.arange(1, 8, dtype=np.float32)
        for name in [*names.split(), "price"]
    }
    tensors["time/first_seen"] = tensors["time/last_seen"] = np.arange(7)
    tensors["category/department"] = np.array([1, 1, 1, 2, 2, 0, 0], np.int32)
    catalogue = FeatureCatalogue(("department",), ("department",))
    items = ItemColumns.from_tensors(tensors, catalogue)
    history = UserHistory.from_events(
        np.array([10, 10, 13], np.uint64), np.array([100, 200, 300])
    )
    user = UserContext("ann", history, np.array([3, 0]))
    query = Query("r", "ann", 3, 1_000_000, Deadline.after_us(FakeClock(), 1))
    return CandidateFeatures(items, catalogue), query, user
