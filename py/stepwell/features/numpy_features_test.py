"""The fast features are those of the oracle, for whatever history and candidates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import InvalidArgumentError
from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.catalogue import DAY_SECONDS, ITEM_FEATURES, FeatureCatalogue
from stepwell.features.item_columns import ItemColumns
from stepwell.features.numpy_features_fixture import NumpyFeatures
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.user_history import UserHistory

NOW, NUM_ITEMS = 1_500_000_000, 60
CATALOGUE = FeatureCatalogue(("department", "brand"), ("brand", "size"))


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
    return UserContext("ann", history, known, segment_row=3, is_cold=not num_events)


def _candidates(seed: int, size: int) -> CandidateSet:
    rng = np.random.default_rng(seed)
    shape = (size, len(SOURCE_NAMES))
    return CandidateSet(
        rng.choice(NUM_ITEMS, size, replace=False),
        rng.normal(size=shape).astype(np.float32),
        rng.integers(-1, 900, shape).astype(np.int16),
    )


def _query() -> Query:
    return Query("r", "ann", 5, NOW, Deadline.after_us(FakeClock(), 1))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 999), st.integers(0, 120), st.integers(0, NUM_ITEMS))
def test_both_agree(seed: int, num_events: int, num_candidates: int) -> None:
    items, user = _items(seed), _user(seed, num_events)
    asked = (_query(), user, _candidates(seed, num_candidates))
    want = NumpyFeatures(items, CATALOGUE).hydrate(*asked)
    got = CandidateFeatures(items, CATALOGUE).hydrate(*asked)
    assert got.dense.flags.c_contiguous
    np.testing.assert_allclose(got.dense, want.dense, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(got.sparse, want.sparse)
    assert got.item_rows is not None
    np.testing.assert_array_equal(got.item_rows, asked[2].rows)


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
