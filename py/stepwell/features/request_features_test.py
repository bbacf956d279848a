"""What a request says of its moment, and what its time says."""

import math

import numpy as np
import pytest

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.features.catalogue import REQUEST_FEATURES
from stepwell.features.request_features import (
    check_request_features,
    logged_rows,
    replayed_rows,
    request_rows,
    request_values,
)
from stepwell.schema.feature_registry import REQUEST_CONTEXT

SATURDAY_1_PM = 1_700_312_400
"""2023-11-18 13:00 UTC."""

VIEW = REQUEST_CONTEXT.name


def _clock(given: dict[str, float], event_time: int) -> tuple[int, int]:
    row = request_rows(given, event_time)[VIEW]
    return int(row["local_hour"]), int(row["local_weekday"])


def test_hour_and_weekday_are_those_of_the_event_time_in_utc() -> None:
    assert _clock({}, SATURDAY_1_PM) == (13, 5)
    assert _clock({}, SATURDAY_1_PM + 11 * 3_600) == (0, 6)


def test_what_the_caller_says_goes_before_what_the_time_says() -> None:
    assert _clock({"local_hour": 22}, SATURDAY_1_PM) == (22, 5)
    said = {"local_hour": 1.0, "local_weekday": 6.0}
    assert _clock(said, SATURDAY_1_PM) == _clock(said, 0) == (1, 6)


def test_without_a_clock_there_is_no_row_and_the_default_stands_in() -> None:
    assert not request_rows({}, 0)
    default = REQUEST_CONTEXT.default_row()
    values = request_values({})
    np.testing.assert_array_equal(values, request_values({VIEW: default}))
    of_catalogue = [feature.default for feature in REQUEST_FEATURES]
    np.testing.assert_allclose(values, of_catalogue, atol=1e-7)


def test_the_values_go_around_with_the_clock() -> None:
    names = [feature.name for feature in REQUEST_FEATURES]
    rows = request_rows({"local_hour": 6, "local_weekday": 6}, 0)
    of = dict(zip(names, request_values(rows).tolist(), strict=True))
    assert of["request_hour_sin"] == 1.0
    assert abs(of["request_hour_cos"]) < 1e-6
    assert of["request_weekday_sin"] == pytest.approx(math.sin(12 / 7 * math.pi))
    assert of["request_is_weekend"] == 1.0
    late, early = ({"local_hour": hour, "local_weekday": 2} for hour in (23, 0))
    apart = request_values(request_rows(late, 0)) - request_values(
        request_rows(early, 0)
    )
    assert 0 < np.linalg.norm(apart) < 0.3


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"local_hour": 24.0}, r"'local_hour'\] is 24.0, must be a whole number in "),
        ({"local_hour": -1.0}, r"is -1.0, must be a whole number in \[0, 23\]"),
        ({"local_weekday": 2.5}, r"is 2.5, must be a whole number in \[0, 6\]"),
        ({"local_hour": math.nan}, "is nan"),
        ({"local_hour": math.inf}, "is inf"),
        ({"local_huor": 1.0}, "local_huor.*did you mean local_hour"),
    ],
)
def test_names_and_ranges_are_those_of_the_view(
    given: dict[str, float], text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=text) as refused:
        check_request_features(given)
    assert refused.value.field == f"request_features[{next(iter(given))!r}]"


def test_rows_come_out_of_the_log_as_they_went_in() -> None:
    rows = request_rows({"local_hour": 7}, SATURDAY_1_PM)
    reads = logged_rows(rows, "r1", SATURDAY_1_PM)
    assert [(view, key) for view, key, _ in reads] == [(VIEW, "r1")]
    others = [("user_history", "ann", b"of another view"), (VIEW, "r1", None)]
    assert replayed_rows([*others, *reads]) == rows
    assert replayed_rows(others) == {}
    assert not logged_rows({}, "r1", 0)
    with pytest.raises(DataLossError):
        replayed_rows([(VIEW, "r1", b"no row")])
