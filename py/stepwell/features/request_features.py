"""What is known of a request's moment: said by its caller, else of its event time.

One definition for the request path, training and replay. A row that nothing is known of
is absent; its view's default stands in, with the indicator that it was missing.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError
from stepwell.pipeline.query import StoredRead
from stepwell.schema.feature_errors import nearest
from stepwell.schema.feature_registry import REQUEST_CONTEXT
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import Feature, RowValues

REQUEST_FIELD = "request_features"
"""The field of the messages."""

_HOURS, _WEEKDAYS = 24, 7
_HOUR_SECONDS, _DAY_SECONDS = 3_600, 86_400
_FIRST_WEEKDAY = 3
"""1970-01-01 was a Thursday."""

_VIEW = REQUEST_CONTEXT.name
_FEATURES = {feature.name: feature for feature in REQUEST_CONTEXT.features}
_NOTHING: Mapping[str, RowValues] = {}


def check_request_features(given: Mapping[str, float]) -> None:
    """Refuses what no feature of the view may be.

    Raises:
        InvalidArgumentError: names the entry, its value and its range.
    """
    for name, value in given.items():
        path = f"{REQUEST_FIELD}[{name!r}]"
        feature = _FEATURES.get(name)
        if feature is None:
            what = nearest(f"feature of {REQUEST_CONTEXT.name}", name, _FEATURES)
            raise InvalidArgumentError(f"{path}: {what}", path)
        # No NaN is in any range.
        if not feature.low <= value <= feature.high or not _is_held(feature, value):
            raise InvalidArgumentError(
                f"{path} is {value}, must be {_kind(feature)} in "
                f"[{feature.low}, {feature.high}]",
                path,
            )


def request_rows(
    given: Mapping[str, float], event_time: int
) -> Mapping[str, RowValues]:
    """Returns the rows of a request by view; none where nothing is known.

    Args:
        given: by the caller, within their ranges.
        event_time: of the request, unix seconds; hour and weekday that the caller does
            not give are this time's, in UTC. Not above 0: no clock tells it.
    Cost: under 1 us where the caller says nothing, else about 2 us.
    """
    row = _DEFAULT_ROW
    if event_time > 0:
        hour = event_time // _HOUR_SECONDS % _HOURS
        weekday = (event_time // _DAY_SECONDS + _FIRST_WEEKDAY) % _WEEKDAYS
        row = _ROWS[hour][weekday]
    elif not given:
        return _NOTHING
    if given:
        row = row.copy()
        for name, value in given.items():
            row[name] = value
    return {_VIEW: row}


def request_values(rows: Mapping[str, RowValues]) -> npt.NDArray[np.float32]:
    """Returns float32 [R], the catalogue's features of a request, read-only.

    Args:
        rows: as `request_rows` gives them; of the default where there is none.
    """
    row = rows.get(_VIEW, _DEFAULT_ROW)
    values: npt.NDArray[np.float32] = _OF_CLOCK[
        int(row["local_hour"]), int(row["local_weekday"])
    ]
    return values


def logged_rows(
    rows: Mapping[str, RowValues], request_id: str, event_time: int
) -> tuple[StoredRead, ...]:
    """Returns the rows as an impression keeps them, packed."""
    return tuple(
        (view, request_id, FeatureRow.of(REQUEST_CONTEXT, row, event_time, 0).pack())
        for view, row in rows.items()
    )


def replayed_rows(reads: Iterable[StoredRead]) -> Mapping[str, RowValues]:
    """Returns the request's rows among all that it read.

    Raises:
        DataLossError, SchemaMismatchError: it is none that this version reads.
    """
    return {
        view: FeatureRow.unpack(REQUEST_CONTEXT, blob).values
        for view, _, blob in reads
        if view == REQUEST_CONTEXT.name and blob is not None
    }


def _is_held(feature: Feature, value: float) -> bool:
    return feature.dtype == "float32" or value == int(value)


def _kind(feature: Feature) -> str:
    return "a number" if feature.dtype == "float32" else "a whole number"


def _of_clock() -> npt.NDArray[np.float32]:
    """Float32 [24, 7, R]: the features by hour and weekday."""
    values = np.empty((_HOURS, _WEEKDAYS, 5), np.float32)
    for hour in range(_HOURS):
        for weekday in range(_WEEKDAYS):
            day, week = 2 * math.pi * hour / _HOURS, 2 * math.pi * weekday / _WEEKDAYS
            values[hour, weekday] = (
                math.sin(day),
                math.cos(day),
                math.sin(week),
                math.cos(week),
                weekday >= 5,
            )
    values.flags.writeable = False
    return values


def _row(hour: int, weekday: int) -> RowValues:
    row = REQUEST_CONTEXT.default_row()
    row["local_hour"], row["local_weekday"] = hour, weekday
    row.flags.writeable = False
    return row


_OF_CLOCK = _of_clock()
_ROWS = [[_row(hour, day) for day in range(_WEEKDAYS)] for hour in range(_HOURS)]
_DEFAULT_ROW = REQUEST_CONTEXT.default_row()
