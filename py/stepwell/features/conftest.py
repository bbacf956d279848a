"""A release of seven items and one shopper, small enough to check by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.features.catalogue import FeatureCatalogue
from stepwell.features.item_columns import ItemColumns
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary

NOW = 1_500_000_000
IDS = [f"item-{number}" for number in range(7)]
DEPARTMENTS = [1, 1, 1, 2, 2, 0, 0]

Tensors = dict[str, npt.NDArray[np.generic]]


@pytest.fixture
def tensors() -> Tensors:
    numbers = {
        "num_events": [50, 40, 30, 20, 10, 5, 5],
        "num_buyers": [25, 20, 15, 10, 5, 5, 5],
        "buyers_7d": [8, 4, 2, 1, 0, 0, 0],
        "buyers_28d": [16, 12, 8, 4, 0, 0, 0],
        "buyers_84d": [20, 16, 12, 8, 4, 1, 1],
        "decayed_7d": [9, 5, 3, 1, 0, 0, 0],
        "decayed_21d": [18, 11, 7, 3, 1, 0, 0],
        "decayed_60d": [30, 20, 14, 8, 3, 1, 1],
        "decayed_120d": [40, 30, 20, 13, 6, 3, 3],
        "repeat_share": [0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0],
        "mean_interval_days": [7, 14, 21, 28, np.nan, np.nan, np.nan],
        "price": [1, 2, 3, 4, 5, np.nan, 2],
    }
    columns: Tensors = {
        f"number/{name}": np.array(values, np.float32)
        for name, values in numbers.items()
    }
    columns["time/first_seen"] = np.full(7, NOW - 100 * DAY_SECONDS, np.int64)
    columns["time/last_seen"] = np.full(7, NOW - DAY_SECONDS, np.int64)
    columns["category/department"] = np.array(DEPARTMENTS, np.int32)
    columns["category_names/department/offsets"] = np.array([0, 0, 3, 6, 9], np.int64)
    return columns


@pytest.fixture
def catalogue() -> FeatureCatalogue:
    return FeatureCatalogue(("department",), ("department",))


@pytest.fixture
def items(tensors: Tensors, catalogue: FeatureCatalogue) -> ItemColumns:
    return ItemColumns.from_tensors(tensors, catalogue)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.build(IDS)


@pytest.fixture
def query() -> Query:
    deadline = Deadline.after_us(FakeClock(), 1_000_000)
    return Query("request", "ann", 3, NOW, deadline)


@pytest.fixture
def history(vocabulary: Vocabulary) -> UserHistory:
    """item-0 three times, the last 10 days ago; item-3 once, 60 days ago."""
    rows = [0, 0, 0, 3]
    days = np.array([30, 20, 10, 60])
    values = np.array([1.0, 1.0, 2.0, 4.0], np.float32)
    times = (NOW - days * DAY_SECONDS).astype(np.int64)
    return UserHistory.from_events(vocabulary.keys[rows], times, values, "north")


@pytest.fixture
def user(history: UserHistory, vocabulary: Vocabulary) -> UserContext:
    rows = vocabulary.rows_of_keys(history.keys)
    return UserContext("ann", history, rows, segment_row=2)
