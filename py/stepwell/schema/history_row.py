"""A user's history as a row of the view user_history, and back."""

from stepwell.schema.feature_registry import USER_HISTORY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.user_history import UserHistory


def history_row(history: UserHistory, written_at_us: int | None = None) -> FeatureRow:
    """Returns the row whose body is the packed history.

    Args:
        written_at_us: when its newest event became known, unix microseconds; None for
            the time of that event, as of data that tells no other.
    """
    newest = history.last_event_time
    known_us = newest * 1_000_000 if written_at_us is None else written_at_us
    return FeatureRow(USER_HISTORY, history.pack(), newest, known_us)


def history_of_row(blob: bytes) -> UserHistory:
    """Returns the history in a packed row; its arrays are views of `blob`.

    Raises:
        SchemaMismatchError: a row of another schema.
        DataLossError: the row or the history in it is damaged.
    """
    return UserHistory.unpack(FeatureRow.unpack(USER_HISTORY, blob).body)
