"""The fast features are those of the oracle, for whatever history and candidates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import InvalidArgumentError
from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.catalogue import ITEM_FEATURES, FeatureCatalogue
from stepwell.features.item_columns import ItemColumns
from stepwell.features.numpy_features_fixture import NumpyFeatures
from stepwell.features.request_features import request_rows
from stepwell.features.view_features import RANKER_VIEWS
from stepwell.pipeline.candidate import FEATURE_SOURCES, SOURCE_NAMES, CandidateSet
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.feature_registry import DAY_SECONDS, ITEM_ACTIVITY, USER_ACTIVITY
from stepwell.schema.feature_view import FeatureView, RowValues
from stepwell.schema.user_history import UserHistory

NOW, NUM_ITEMS = 1_500_000_000, 60
PLAIN = FeatureCatalogue(("department", "brand"), ("brand", "size"))
CATALOGUE = replace(PLAIN, views=RANKER_VIEWS)


def _items(seed: int) -> ItemColumns:
    rng = np.random.default_rng(seed)
    numbers = rng.gamma(1.0, 9.0, (NUM_ITEMS, len(ITEM_FEATURES) - 3))
    codes = {
        name: rng.integers(0, 9, NUM_ITEMS).astype(np.int32)
        for name in ("department", "brand", "size")
    }
    shares = {
        name: rng.random(NUM_ITEMS).astype(np.float32)
        for name in CATALOGUE.affinity_columns
    }
    seen = NOW - rng.integers(-DAY_SECONDS, 400 * DAY_SECONDS, (2, NUM_ITEMS))
    return ItemColumns(
        numbers.astype(np.float32),
        seen[0],
        seen[1],
        codes,
        dict.fromkeys(codes, 9),
        shares,
    )


def _stored(view: FeatureView, size: int, seed: int) -> npt.NDArray[np.void]:
    """Rows of a view; some times are later than NOW, some are never."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(size, view.row_dtype)
    for feature in view.features:
        if feature.name.endswith("_time"):
            times = NOW - rng.integers(-DAY_SECONDS, 60 * DAY_SECONDS, size)
            rows[feature.name] = np.where(rng.random(size) < 0.2, 0, times)
        else:
            rows[feature.name] = rng.gamma(1.0, 9.0, size)
    return rows


@dataclass(frozen=True)
class _ItemRows:
    rows: npt.NDArray[np.void]
    next_offset: int = 0


def _user(seed: int, num_events: int) -> UserContext:
    rng = np.random.default_rng(seed)
    rows = rng.choice(NUM_ITEMS, 30, replace=False)
    events = rng.integers(0, 30, num_events)
    times = NOW - rng.integers(-2 * DAY_SECONDS, 500 * DAY_SECONDS, num_events)
    values = rng.gamma(1.0, 4.0, num_events).astype(np.float32)
    history = UserHistory.from_events(events.astype(np.uint64), times, values)
    # Stored columns lie at odd addresses; some items the release does not know.
    history = UserHistory.unpack(history.pack()) if num_events else history
    known = np.where(
        history.keys % np.uint64(7) == 3, -1, rows[history.keys.astype(int)]
    )
    missing = [view for view in RANKER_VIEWS if rng.random() < 0.5]
    stored = {USER_ACTIVITY.name: _stored(USER_ACTIVITY, 1, seed).reshape(())}
    return UserContext(
        "ann",
        history,
        known,
        segment_row=3,
        is_cold=not num_events,
        defaulted=tuple(missing),
        rows={} if USER_ACTIVITY.name in missing else stored,
    )


def _candidates(seed: int, size: int) -> CandidateSet:
    rng = np.random.default_rng(seed)
    shape = (size, len(SOURCE_NAMES))
    return CandidateSet(
        rng.choice(NUM_ITEMS, size, replace=False),
        rng.normal(size=shape).astype(np.float32),
        rng.integers(-1, 900, shape).astype(np.int16),
    )


def _clocks(seed: int) -> Mapping[str, RowValues]:
    """What callers say: nothing, all of it, or so little that time must tell."""
    said = {"local_hour": seed % 24, "local_weekday": seed % 7}
    if seed % 3 == 0:
        return request_rows({}, 0)
    return request_rows(said if seed % 3 == 1 else {}, NOW + 3_600 * seed)


def _query() -> Query:
    return Query("r", "ann", 5, NOW, Deadline.after_us(FakeClock(), 1))


@settings(max_examples=80)
@given(st.integers(0, 999), st.integers(0, 120), st.integers(0, NUM_ITEMS))
def test_both_agree(seed: int, num_events: int, num_candidates: int) -> None:
    items, user = _items(seed), _user(seed, num_events)
    query = replace(_query(), request_rows=_clocks(seed))
    asked = (query, user, _candidates(seed, num_candidates))
    rows = _stored(ITEM_ACTIVITY, NUM_ITEMS, seed)
    want = NumpyFeatures(items, CATALOGUE, rows).hydrate(*asked)
    got = CandidateFeatures(items, CATALOGUE, _ItemRows(rows)).hydrate(*asked)
    assert got.dense.flags.c_contiguous
    np.testing.assert_allclose(got.dense, want.dense, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(got.sparse, want.sparse)
    assert got.item_rows is not None
    np.testing.assert_array_equal(got.item_rows, asked[2].rows)


def test_without_views_the_others_are_what_they_were() -> None:
    items, asked = _items(1), (_query(), _user(1, 50), _candidates(1, 20))
    rows = _ItemRows(_stored(ITEM_ACTIVITY, NUM_ITEMS, 1))
    plain = CandidateFeatures(items, PLAIN, rows).hydrate(*asked)
    whole = CandidateFeatures(items, CATALOGUE, rows).hydrate(*asked)
    assert plain.dense.shape[1] == len(PLAIN.dense) == len(CATALOGUE.dense) - 26
    np.testing.assert_array_equal(plain.dense, whole.dense[:, : len(PLAIN.dense)])


def test_a_replayable_query_comes_with_the_item_rows_it_was_computed_from() -> None:
    items, rows = _items(1), _ItemRows(_stored(ITEM_ACTIVITY, NUM_ITEMS, 1), 7)
    query = replace(_query(), is_replayable=True)
    asked = (query, _user(1, 50), _candidates(1, 20))
    batch = CandidateFeatures(items, CATALOGUE, rows).hydrate(*asked)
    assert batch.item_state is not None
    np.testing.assert_array_equal(batch.item_state, rows.rows[asked[2].rows])
    assert batch.item_state_offset == 7
    rows.rows["click_last_time"] += 1
    assert (batch.item_state != rows.rows[asked[2].rows]).all()


class _RestlessRows:
    """Item rows that change with each look."""

    def __init__(self, rows: npt.NDArray[np.void]) -> None:
        self._rows, self.next_offset = rows, 0

    @property
    def rows(self) -> npt.NDArray[np.void]:
        self._rows["click_last_time"] += 1
        return self._rows


def test_item_rows_that_never_rest_are_not_said_to_be_those_of_the_features() -> None:
    rows = _RestlessRows(_stored(ITEM_ACTIVITY, NUM_ITEMS, 1))
    query = replace(_query(), is_replayable=True)
    features = CandidateFeatures(_items(1), CATALOGUE, rows)
    batch = features.hydrate(query, _user(1, 50), _candidates(1, 20))
    assert batch.item_state is None
    assert len(batch.dense) == 20


def test_item_rows_of_another_release_are_refused() -> None:
    rows = _ItemRows(_stored(ITEM_ACTIVITY, NUM_ITEMS - 1, 1))
    features = CandidateFeatures(_items(1), CATALOGUE, rows)
    with pytest.raises(InvalidArgumentError, match="must be 60 packed rows of 40"):
        features.hydrate(_query(), _user(1, 50), _candidates(1, 20))


def test_a_source_behind_those_of_the_features_changes_nothing() -> None:
    features, candidates = CandidateFeatures(_items(1), PLAIN), _candidates(1, 20)
    asked = (_query(), _user(1, 50))
    want = features.hydrate(*asked, candidates)
    last = candidates.source_scores[:, len(FEATURE_SOURCES) :]
    last += 1.0
    assert last.size
    np.testing.assert_array_equal(
        features.hydrate(*asked, candidates).dense, want.dense
    )


@pytest.mark.parametrize("row", [-1, NUM_ITEMS])
def test_a_candidate_that_does_not_exist_is_refused(row: int) -> None:
    hydrator = CandidateFeatures(_items(1), CATALOGUE)
    candidates = CandidateSet.of_rows(np.array([0, row]))
    with pytest.raises(
        InvalidArgumentError, match=rf"rows is {row}, must be in \[0, 59"
    ):
        hydrator.hydrate(_query(), _user(1, 9), candidates)


def test_a_code_below_zero_is_refused() -> None:
    items = _items(1)
    items.categories["brand"][4] = -1
    with pytest.raises(InvalidArgumentError, match="codes is -1"):
        CandidateFeatures(items, CATALOGUE)
