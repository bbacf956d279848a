import numpy as np
import pytest

from stepwell.base.errors import DataLossError
from stepwell.schema.feature_errors import SchemaMismatchError
from stepwell.schema.feature_registry import USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow, row_header
from stepwell.schema.history_row import history_of_row, history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys

HISTORY = UserHistory.from_events(
    entity_keys(["milk", "bread"]), np.array([100, 200]), segment="north"
)


def test_a_history_comes_back_from_its_row() -> None:
    again = history_of_row(history_row(HISTORY).pack())
    assert again.pack() == HISTORY.pack()


def test_a_row_is_as_old_as_its_newest_event_and_known_since_then_or_as_told() -> None:
    header = row_header(history_row(HISTORY).pack())
    assert (header.event_timestamp, header.written_at_us) == (200, 200_000_000)
    assert row_header(history_row(HISTORY, 7).pack()).written_at_us == 7


def test_refuses_another_views_row_and_a_body_that_is_no_history() -> None:
    other = FeatureRow.of(USER_ACTIVITY, USER_ACTIVITY.default_row(), 0, 0)
    with pytest.raises(SchemaMismatchError):
        history_of_row(other.pack())
    with pytest.raises(DataLossError):
        history_of_row(history_row(HISTORY).pack()[:-1])
