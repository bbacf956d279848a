"""Features of the user and of the user's own dealings with each candidate."""

import numpy as np
import numpy.typing as npt

from stepwell.features.catalogue import (
    DAY_SECONDS,
    OWN_FEATURES,
    USER_FEATURES,
)
from stepwell.features.history_columns import HistoryColumns
from stepwell.pipeline.query import UserContext

FloatArray = npt.NDArray[np.float32]
_PRIOR_EVENTS = 1.0
"""Weight of the item's mean interval beside the user's own."""


def user_features(user: UserContext, history: HistoryColumns, now: int) -> FloatArray:
    """Returns float32 [len(USER_FEATURES)], defaults when cold."""
    whole = user.history
    if not whole.num_events:
        return np.array([feature.default for feature in USER_FEATURES], np.float32)
    trips = max(whole.num_trips, 1)
    span = max((now - whole.first_event_time) / DAY_SECONDS, 1.0)
    idle = max(now - whole.last_event_time, 0) / DAY_SECONDS
    values = (
        trips,
        trips / span * 7.0,
        len(whole),
        whole.num_events / trips,
        idle,
        len(whole) / whole.num_events,
        history.total_recent,
        span,
    )
    return np.array(values, np.float32)


def own_features(
    history: HistoryColumns, intervals: FloatArray, num_trips: int
) -> FloatArray:
    """Returns float32 [H + 1, len(OWN_FEATURES)]; the last row holds the defaults.

    Computed once for the whole history, then gathered by candidate: a candidate that is
    not in the history takes row -1.

    Args:
        history: the H known items.
        intervals: float32 [H], mean days between repeats of each item by anybody.
        num_trips: of the user.
    """
    defaults = [feature.default for feature in OWN_FEATURES]
    table = np.empty((len(history) + 1, len(OWN_FEATURES)), np.float32)
    table[-1] = defaults
    counts, idle, age = history.counts, history.idle_days, history.age_days
    interval = _smoothed_interval(history, intervals)
    span = age - idle
    columns = (
        1.0,
        counts,
        history.recent,
        history.at_last,
        history.at_last * np.exp2(-idle / 7.0),
        counts * np.exp2(-(idle + span / 2.0) / 90.0),
        idle,
        age,
        interval,
        idle / np.maximum(interval, 1.0),
        counts / np.maximum(age, 7.0),
        counts / max(num_trips, 1),
        history.values / np.maximum(counts, 1.0),
        history.recent / history.total_recent,
        _ranks(history.recent),
    )
    for place, column in enumerate(columns):
        table[:-1, place] = column
    return table


def _smoothed_interval(history: HistoryColumns, intervals: FloatArray) -> FloatArray:
    """The user's mean days between events, pulled towards the item's own."""
    gaps = history.counts - 1.0
    days = history.age_days - history.idle_days
    smoothed = (days + _PRIOR_EVENTS * intervals) / (gaps + _PRIOR_EVENTS)
    return np.asarray(smoothed, np.float32)


def _ranks(values: FloatArray) -> FloatArray:
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return ranks
