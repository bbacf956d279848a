"""A row's bytes: golden, there and back, and every way in which they are refused."""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.schema.feature_errors import (
    NotFiniteError,
    OutOfRangeError,
    OversizedRowError,
    SchemaMismatchError,
    UnknownFeatureError,
    WrongTypeError,
)
from stepwell.schema.feature_registry import (
    REGISTRY,
    USER_ACTIVITY,
    USER_HISTORY,
    USER_PROFILE,
)
from stepwell.schema.feature_row import (
    HEADER_BYTES,
    FeatureRow,
    row_header,
    values_from,
)
from stepwell.schema.feature_view import (
    MAX_ROW_BYTES,
    Entity,
    Feature,
    FeatureView,
    RowValues,
    Source,
    WhenStale,
)

VIEW = FeatureView(
    name="shopper",
    entity=Entity("user", "user_id"),
    source=Source.STREAM,
    features=(
        Feature("spend", "float32", 1.5, "money", 0.0, 1e6),
        Feature("visits", "int32", 0, "days", 0, 1_000),
        Feature("seen", "int64", -1, "unix s", -1, 1 << 40),
        Feature("tags", "uint64", 0, "keys", 0, (1 << 64) - 1, 2),
    ),
    ttl_seconds=60,
    freshness_seconds=60,
    when_stale=WhenStale.DEFAULT,
    description="who shops",
)
# Not resolved: under Bazel the file lies in the runfiles of the test.
GOLDEN_FILE = Path(__file__).parents[3] / "tests/golden/feature_rows.txt"
GOLDEN = bytes.fromhex(
    "53574652"  # SWFR
    "0100"  # version 1
    "0000"  # no flags
    "2a0241091b768513"  # schema key
    "00f1536500000000"  # 2023-11-14 22:13:20, seconds
    "0040aaf122000000"  # microseconds
    "00004841"  # spend 12.5
    "07000000"  # visits 7
    "ffffffffffffffff"  # seen -1
    "0300000000000000ffffffffffffffff"  # tags
)


def _values() -> RowValues:
    tags = [3, (1 << 64) - 1]
    return values_from(VIEW, {"spend": 12.5, "visits": 7, "tags": tags})


def test_the_bytes_of_a_row_are_those_of_the_format() -> None:
    row = FeatureRow.of(VIEW, _values(), 0x6553F100, 0x22F1AA4000)
    assert row.pack() == GOLDEN
    assert FeatureRow.unpack(VIEW, GOLDEN) == row


def _golden_lines() -> list[str]:
    lines = GOLDEN_FILE.read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("line", _golden_lines())
def test_stepwells_own_rows_are_those_of_the_golden_file(line: str) -> None:
    name, times, words, stored = line.split("; ")
    view = REGISTRY.view(name)
    values = {}
    for word in words.split():
        feature, _, text = word.partition("=")
        # A list or a number, as JSON has it.
        values[feature] = json.loads(f"[{text}]" if "," in text else text)
    row = FeatureRow.of(view, values_from(view, values), *map(int, times.split()))
    assert row.pack().hex() == stored
    assert FeatureRow.unpack(view, bytes.fromhex(stored)) == row


def test_an_unpacked_row_can_be_read_and_not_written() -> None:
    values = FeatureRow.unpack(VIEW, GOLDEN).values
    assert (float(values["spend"]), int(values["seen"])) == (12.5, -1)
    assert values["tags"].tolist() == [3, (1 << 64) - 1]
    with pytest.raises(ValueError, match="read-only"):
        values["visits"] = 8


@settings(max_examples=100)
@given(
    st.fixed_dictionaries(
        {
            "spend": st.floats(0, 1e6, width=32),
            "visits": st.integers(0, 1_000),
            "seen": st.integers(-1, 1 << 40),
            "tags": st.lists(st.integers(0, (1 << 64) - 1), min_size=2, max_size=2),
        }
    ),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 60),
)
def test_what_was_packed_is_read_back(
    given_values: dict[str, object], event_timestamp: int, written_at_us: int
) -> None:
    values = values_from(VIEW, given_values)
    blob = FeatureRow.of(VIEW, values, event_timestamp, written_at_us).pack()
    row = FeatureRow.unpack(VIEW, blob)
    assert row.values.tobytes() == values.tobytes()
    assert row_header(blob) == (VIEW.schema_key, event_timestamp, written_at_us)
    assert row.pack() == blob


@settings(max_examples=300)
@given(st.binary(max_size=120), st.integers(0, len(GOLDEN)), st.booleans())
def test_bytes_that_are_no_row_are_refused_in_one_way(
    noise: bytes, place: int, keeps_head: bool
) -> None:
    blob = GOLDEN[:place] + noise if keeps_head else noise
    try:
        row = FeatureRow.unpack(VIEW, blob)
    except (DataLossError, SchemaMismatchError):
        return
    assert len(blob) == len(GOLDEN)
    assert row.body == blob[HEADER_BYTES:]


@pytest.mark.parametrize("length", [0, 3, HEADER_BYTES - 1, HEADER_BYTES, 63, 65])
def test_a_row_of_another_length_is_damaged(length: int) -> None:
    with pytest.raises(DataLossError, match="bytes"):
        FeatureRow.unpack(VIEW, (GOLDEN * 2)[:length])


@pytest.mark.parametrize("place", [0, 3, 4, 6, 23, 31])
def test_a_damaged_header_is_refused(place: int) -> None:
    damaged = bytearray(GOLDEN)
    damaged[place] ^= 0x80
    with pytest.raises(DataLossError, match="a row"):
        FeatureRow.unpack(VIEW, bytes(damaged))


def test_a_row_of_another_definition_is_refused_with_both_named() -> None:
    later = replace(VIEW, features=(*VIEW.features[:2], *VIEW.features[3:]))
    with pytest.raises(SchemaMismatchError) as caught:
        FeatureRow.unpack(later, GOLDEN)
    assert caught.value.expected == f"{later.schema_key:016x}"
    assert caught.value.actual == f"{VIEW.schema_key:016x}"
    assert "shopper" in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_not_packed(value: float) -> None:
    values = _values()
    values["spend"] = value
    with pytest.raises(NotFiniteError, match=r"shopper:spend is .*\[0.0, 1000000.0\]"):
        FeatureRow.of(VIEW, values, 1, 1).pack()


@pytest.mark.parametrize(("name", "value"), [("spend", -1), ("visits", 1_001)])
def test_a_number_out_of_range_is_not_packed(name: str, value: int) -> None:
    values = _values()
    values[name] = value
    with pytest.raises(OutOfRangeError, match=f"shopper:{name} is {value}"):
        FeatureRow.of(VIEW, values, 1, 1).pack()


@pytest.mark.parametrize("times", [(-1, 0), (0, -1), (1 << 63, 0)])
def test_a_time_out_of_range_is_not_packed(times: tuple[int, int]) -> None:
    with pytest.raises(OutOfRangeError, match="must be in"):
        FeatureRow.of(VIEW, _values(), *times).pack()


def test_values_of_another_view_are_no_row_of_this_one() -> None:
    with pytest.raises(WrongTypeError, match="shopper: values are"):
        FeatureRow.of(VIEW, USER_ACTIVITY.default_row(), 1, 1)
    with pytest.raises(WrongTypeError, match="shopper: a row has 3 bytes, must be 32"):
        FeatureRow(VIEW, b"abc", 1, 1).pack()


def test_a_view_with_lists_takes_its_codecs_bytes_up_to_the_limit() -> None:
    row = FeatureRow(USER_HISTORY, b"x" * MAX_ROW_BYTES, 5, 6)
    assert FeatureRow.unpack(USER_HISTORY, row.pack()) == row
    with pytest.raises(OversizedRowError, match=r"262145 bytes, must be in \[0"):
        replace(row, body=row.body + b"x").pack()
    with pytest.raises(DataLossError, match="bytes, must be in"):
        FeatureRow.unpack(USER_HISTORY, row.pack() + b"x")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("spent", 1.0, UnknownFeatureError),
        ("spend", "1.0", WrongTypeError),
        ("spend", None, WrongTypeError),
        ("spend", True, WrongTypeError),
        ("spend", [1.0], WrongTypeError),
        ("visits", 1.5, WrongTypeError),
        ("tags", 7, WrongTypeError),
        ("tags", [7], WrongTypeError),
        ("tags", ["a", "b"], WrongTypeError),
        ("spend", math.nan, NotFiniteError),
        pytest.param("spend", 10**5_000, OutOfRangeError, id="huge"),
        ("visits", -1, OutOfRangeError),
        ("tags", [0, 1 << 64], OutOfRangeError),
    ],
)
def test_a_value_is_refused_by_its_own_class(
    name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        values_from(VIEW, {name: value})


def test_names_not_given_take_their_defaults() -> None:
    row = values_from(VIEW, {"visits": np.int64(3)})
    assert (float(row["spend"]), int(row["visits"]), int(row["seen"])) == (1.5, 3, -1)


def test_each_refused_value_is_a_bad_argument_to_the_caller() -> None:
    classes: tuple[Callable[..., Exception], ...] = (
        WrongTypeError,
        NotFiniteError,
        OutOfRangeError,
        OversizedRowError,
    )
    for made in classes:
        error = made("why", "field")
        assert isinstance(error, InvalidArgumentError)
        assert error.field == "field"


def test_the_default_rows_of_stepwell_can_be_packed() -> None:
    for view in (USER_ACTIVITY, USER_PROFILE):
        row = FeatureRow.of(view, view.default_row(), 0, 0)
        assert FeatureRow.unpack(view, row.pack()) == row


def test_the_event_counts_are_one_block_of_floats() -> None:
    values = USER_ACTIVITY.default_row()
    values["purchase_decayed_7d"] = 4.0
    body = FeatureRow.of(USER_ACTIVITY, values, 1, 1).body
    assert struct.unpack_from("<20f", body)[2 * 4 + 2] == 4.0
