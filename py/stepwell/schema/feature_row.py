"""A row: one entity's features of one view as the stores hold them, packed.

Little-endian: magic "SWFR", version u16, flags u16 (0), schema key u64, event timestamp
i64 in seconds, written-at i64 in microseconds; then the body, the view's packed struct
or, for a view with lists, the bytes of its codec.
"""

import math
import numbers
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stepwell.base.errors import DataLossError
from stepwell.schema.feature_errors import (
    NotFiniteError,
    OutOfRangeError,
    OversizedRowError,
    SchemaMismatchError,
    WrongTypeError,
)
from stepwell.schema.feature_view import (
    MAX_ROW_BYTES,
    Feature,
    FeatureView,
    RowValues,
)

MAX_AHEAD_SECONDS = 86_400
"""A row's or an event's time may lie this far ahead of now: clocks differ."""

_MAGIC = b"SWFR"
_FORMAT_VERSION = 1
_NO_FLAGS = 0
_HEADER = struct.Struct("<4sHHQqq")
HEADER_BYTES = _HEADER.size
_TIMES_AT = 16
_MAX_TIME = 1 << 62


class RowHeader(NamedTuple):
    """What a row says of itself.

    Attributes:
        schema_key: of the view as the row's writer knew it.
        event_timestamp: unix seconds of the newest event in the row, 0 where none is.
        written_at_us: unix microseconds, see `FeatureRow`.
    """

    schema_key: int
    event_timestamp: int
    written_at_us: int


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A row and the view that says what is in it.

    Attributes:
        view: the definition it was written by.
        body: the packed struct of `view.row_dtype`, or the bytes of the view's codec.
        event_timestamp: unix seconds of the newest event folded in; 0 where none is.
        written_at_us: unix microseconds at which the newest event folded in was taken
            into the log, so that a replay of the log gives the same bytes; of a batch
            row, when the batch was made.

    Concurrency: immutable.
    """

    view: FeatureView
    body: bytes
    event_timestamp: int
    written_at_us: int

    @classmethod
    def of(
        cls,
        view: FeatureView,
        values: RowValues,
        event_timestamp: int,
        written_at_us: int,
    ) -> "FeatureRow":
        """Returns a row with a copy of `values`, a 0-d array of `view.row_dtype`.

        Raises:
            WrongTypeError: they are of another dtype.
        """
        if values.dtype != view.row_dtype or values.ndim:
            raise WrongTypeError(
                f"{view.name}: values are {values.dtype} of shape {values.shape}, "
                f"must be {view.row_dtype} of shape ()",
                view.name,
            )
        return cls(view, values.tobytes(), event_timestamp, written_at_us)

    @property
    def values(self) -> RowValues:
        """The struct as a read-only 0-d array over `body`; not for a view with lists.

        Cost: about 1 us; a field is read by name, `float(values["click_decayed_1h"])`.
        """
        values: RowValues = np.ndarray((), self.view.row_dtype, self.body)
        return values

    def pack(self) -> bytes:
        """Returns the stored form.

        Raises:
            WrongTypeError: the body has not the struct's size.
            OversizedRowError: the body is too long.
            NotFiniteError, OutOfRangeError: names feature, value and range.
        Cost: about 8 us for 30 features.
        """
        _check_body(self.view, self.body)
        header = _HEADER.pack(
            _MAGIC,
            _FORMAT_VERSION,
            _NO_FLAGS,
            self.view.schema_key,
            _checked_time(self.view, "event_timestamp", self.event_timestamp),
            _checked_time(self.view, "written_at_us", self.written_at_us),
        )
        return header + self.body

    @classmethod
    def unpack(cls, view: FeatureView, blob: bytes) -> "FeatureRow":
        """Reads what `pack` wrote.

        Raises:
            DataLossError: not a row, another version, or a wrong length.
            SchemaMismatchError: written by another definition of the view.
        Cost: about 2 us and a copy of the body.
        """
        header = row_header(blob)
        if header.schema_key != view.schema_key:
            raise SchemaMismatchError(view.name, view.schema_key, header.schema_key)
        num_bytes = len(blob) - HEADER_BYTES
        if not view.has_lists and num_bytes != view.row_dtype.itemsize:
            raise DataLossError(
                f"the body of a row of {view.name} has {num_bytes} bytes, "
                f"must be {view.row_dtype.itemsize}"
            )
        return cls(
            view, blob[HEADER_BYTES:], header.event_timestamp, header.written_at_us
        )


def row_prefix(view: FeatureView) -> bytes:
    """Returns the bytes that every stored row of a view begins with."""
    header = _HEADER.pack(_MAGIC, _FORMAT_VERSION, _NO_FLAGS, view.schema_key, 0, 0)
    return header[:_TIMES_AT]


def row_header(blob: bytes) -> RowHeader:
    """Returns the header of a stored row of any view.

    Raises:
        DataLossError: not a row, another version, or too long.
    """
    if not HEADER_BYTES <= len(blob) <= HEADER_BYTES + MAX_ROW_BYTES:
        raise DataLossError(
            f"a row has {len(blob)} bytes, "
            f"must be in [{HEADER_BYTES}, {HEADER_BYTES + MAX_ROW_BYTES}]"
        )
    magic, version, flags, *fields = _HEADER.unpack_from(blob)
    if (magic, version, flags) != (_MAGIC, _FORMAT_VERSION, _NO_FLAGS):
        raise DataLossError(
            f"a row begins with {magic!r}, version {version}, flags {flags}; "
            f"must be {_MAGIC!r}, version {_FORMAT_VERSION}, flags {_NO_FLAGS}"
        )
    header = RowHeader(*fields)
    if min(header.event_timestamp, header.written_at_us) < 0:
        raise DataLossError(f"a row has a time before 1970: {header}")
    return header


def values_from(view: FeatureView, given: Mapping[str, object]) -> RowValues:
    """Returns the row that holds these values, and defaults for names not given.

    Args:
        view: without lists.
        given: numbers by feature name; a sequence of numbers where the feature has
            several. Text is not read as a number, nor is a whole number's feature given
            a fraction.
    Raises:
        UnknownFeatureError, WrongTypeError, NotFiniteError, OutOfRangeError: names
            feature, value and range.
    """
    row = view.default_row()
    for name, value in given.items():
        feature = view.feature(name)
        field = f"{view.name}:{name}"
        if feature.length == 1:
            row[name] = _checked(field, feature, value)
            continue
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise _wrong_type(field, feature, value)
        if len(value) != feature.length:
            raise WrongTypeError(
                f"{field} has {len(value)} values, must have {feature.length}", field
            )
        row[name] = [_checked(field, feature, item) for item in value]
    return row


def _checked(field: str, feature: Feature, value: object) -> float:
    kind = numbers.Real if feature.dtype == "float32" else numbers.Integral
    # A bool is an Integral to Python, and hardly ever what was meant.
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind):
        raise _wrong_type(field, feature, value)
    # An int of any size is compared as it is: as a float it might be none.
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise _not_finite(field, number, feature)
    if not feature.low <= number <= feature.high:
        raise _out_of_range(field, number, feature)
    return number


def _check_body(view: FeatureView, body: bytes) -> None:
    if len(body) > MAX_ROW_BYTES:
        raise OversizedRowError(
            f"{view.name}: a row has {len(body)} bytes, "
            f"must be in [0, {MAX_ROW_BYTES}]",
            view.name,
        )
    if view.has_lists:
        return
    if len(body) != view.row_dtype.itemsize:
        raise WrongTypeError(
            f"{view.name}: a row has {len(body)} bytes, "
            f"must be {view.row_dtype.itemsize}",
            view.name,
        )
    for run in view.bounds:
        values = np.ndarray(run.low.shape, run.dtype, body, run.offset)
        # NaN is in no range: one test for both.
        if not ((values >= run.low) & (values <= run.high)).all():
            _raise_for_first(view, body)


def _raise_for_first(view: FeatureView, body: bytes) -> None:
    values: RowValues = np.ndarray((), view.row_dtype, body)
    for feature in view.features:
        for value in np.atleast_1d(values[feature.name]).tolist():
            _checked(f"{view.name}:{feature.name}", feature, value)


def _checked_time(view: FeatureView, name: str, value: int) -> int:
    if not 0 <= value <= _MAX_TIME:
        field = f"{view.name}:{name}"
        raise OutOfRangeError(f"{field} is {value}, must be in [0, {_MAX_TIME}]", field)
    return value


def _wrong_type(field: str, feature: Feature, value: object) -> WrongTypeError:
    many = "" if feature.length == 1 else f", {feature.length} of them"
    return WrongTypeError(
        f"{field} is {_shown(value)}, must be {feature.dtype}{many}, each in "
        f"[{feature.low}, {feature.high}]",
        field,
    )


def _not_finite(field: str, value: float, feature: Feature) -> NotFiniteError:
    return NotFiniteError(
        f"{field} is {value}, must be in [{feature.low}, {feature.high}]", field
    )


def _out_of_range(field: str, value: float, feature: Feature) -> OutOfRangeError:
    return OutOfRangeError(
        f"{field} is {_shown(value)}, must be in [{feature.low}, {feature.high}]",
        field,
    )


def _shown(value: object) -> str:
    """A bounded text, whatever came."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (str, bytes)):
        return repr(value[:64])
    if value is None or isinstance(value, numbers.Number):
        return str(value)
    return f"a {type(value).__name__}"
