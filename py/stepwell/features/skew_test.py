"""What differs is named, counted and measured; what is the same is not."""

import numpy as np
import pytest

from stepwell.features.skew import SkewTable
from stepwell.schema.feature_registry import ITEM_ACTIVITY, USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys


def activity(**values: float) -> FeatureRow:
    row = USER_ACTIVITY.default_row()
    for name, value in values.items():
        row[name] = value
    return FeatureRow.of(USER_ACTIVITY, row, 100, 100_000_000)


def history(items: list[str]) -> FeatureRow:
    times = np.arange(1, len(items) + 1)
    return history_row(UserHistory.from_events(entity_keys(items), times))


def test_a_changed_value_is_named_with_its_feature_and_its_size() -> None:
    table = SkewTable()
    table.add_row(activity(click_decayed_1h=2.0), activity(click_decayed_1h=2.5))
    table.add_row(activity(), activity())
    assert table.different == ["user_activity:click_decayed_1h"]
    skew = table.features["user_activity:click_decayed_1h"]
    assert (skew.num_compared, skew.num_different, skew.share) == (2, 1, 0.5)
    assert (skew.mean_difference, skew.max_difference) == (0.5, 0.5)
    assert len(table.features) == len(USER_ACTIVITY.features)


def test_rows_of_the_same_values_do_not_differ() -> None:
    table = SkewTable()
    table.add_row(history(["milk", "tea"]), history(["milk", "tea"]))
    assert table.different == []
    assert "user_history:num_trips" in table.features


def test_a_history_that_lacks_an_item_says_so_in_every_list() -> None:
    table = SkewTable()
    table.add_row(history(["milk", "tea"]), history(["milk"]))
    assert "user_history:num_events" in table.different
    # Keys are counted: tea for milk, milk for nothing.
    assert table.features["user_history:keys"].max_difference == 2.0


def test_rows_of_items_are_compared_all_at_once() -> None:
    served = np.zeros(3, ITEM_ACTIVITY.row_dtype)
    again = served.copy()
    again["click_decayed_1d"] = [0.0, 1.0, 3.0]
    table = SkewTable()
    table.add_rows("item_activity", served, again)
    skew = table.features["item_activity:click_decayed_1d"]
    assert skew.share == pytest.approx(2 / 3)
    assert (skew.mean_difference, skew.max_difference) == (2.0, 3.0)
    assert table.different == ["item_activity:click_decayed_1d"]


def test_nan_is_the_same_as_nan_and_different_from_a_number() -> None:
    table = SkewTable()
    served = np.array([[np.nan, np.nan]], np.float32)
    table.add_dense(("a", "b"), served, np.array([[np.nan, 1.0]], np.float32))
    assert table.different == ["b"]
    assert table.features["b"].max_difference == np.inf
