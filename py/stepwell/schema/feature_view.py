"""What a feature is: its view, entity, type, default, freshness and range.

One definition serves the stream updater that writes rows, the request path that reads
them, training and replay. What a row looks like has a hash; a row or a release of
another hash is refused, never read on good luck.
"""

import enum
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError
from stepwell.schema.feature_errors import (
    UnknownFeatureError,
    UnknownViewError,
    nearest,
)

MAX_ROW_BYTES = 256 * 1_024
"""Of a row's body: the longest history has 148 KiB."""

FeatureType = Literal["float32", "int32", "int64", "uint64"]

RowValues = npt.NDArray[Any]
"""A 0-d structured array of a view's `row_dtype`."""

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,63}$")


class Source(enum.StrEnum):
    """Who writes a view's rows."""

    BATCH = "batch"
    """A job, from time to time: an import, a training run."""
    STREAM = "stream"
    """The stream updater, from the event log, all the time."""
    REQUEST = "request"
    """Nobody: the caller sends the values with the request."""


class WhenStale(enum.StrEnum):
    """What stands in for a row that is missing or past its window."""

    DEFAULT = "default"
    """The declared default of each feature."""
    BASELINE = "baseline"
    """The row that the release keeps for the entity's group; else the default."""
    DROP_TIER = "drop_tier"
    """The default, and the request goes one tier down, where the view is not used."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Whose features they are, such as the user's; `id_field` names it in events."""

    name: str
    id_field: str


@dataclass(frozen=True, slots=True)
class Feature:
    """One value of a row, or `length` of them.

    Attributes:
        name: unique in its view; lower case, digits and "_", at most 64.
        dtype: of each value, little-endian when stored.
        default: stands in for each value where there is no row.
        meaning: one line, with the unit.
        low, high: inclusive, finite; a row with another value is refused when packed.
        length: values a row has; 0 means any number, stored by a codec of the view's
            own.
    """

    name: str
    dtype: FeatureType
    default: float
    meaning: str
    low: float
    high: float
    length: int = 1

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise InvalidArgumentError(f"a feature's name is {self.name!r}", "name")
        if self.dtype not in get_args(FeatureType):
            raise InvalidArgumentError(
                f"{self.name}: dtype is {self.dtype!r}, must be one of: "
                f"{', '.join(get_args(FeatureType))}",
                "dtype",
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise InvalidArgumentError(
                f"{self.name}: range is [{self.low}, {self.high}], must be finite",
                "low",
            )
        if self.dtype != "float32":
            self._check_is_held()
        if not self.low <= self.default <= self.high:
            raise InvalidArgumentError(
                f"{self.name}: default is {self.default}, "
                f"must be in [{self.low}, {self.high}]",
                "default",
            )
        if not 0 <= self.length <= MAX_ROW_BYTES:
            raise InvalidArgumentError(
                f"{self.name}: length is {self.length}, "
                f"must be in [0, {MAX_ROW_BYTES}]",
                "length",
            )

    def _check_is_held(self) -> None:
        held = np.iinfo(self.dtype)
        for side, value in (("low", self.low), ("high", self.high)):
            if value != int(value) or not held.min <= value <= held.max:
                raise InvalidArgumentError(
                    f"{self.name}: {side} is {value}, must be a whole number in "
                    f"[{held.min}, {held.max}]",
                    side,
                )


class Bounds(NamedTuple):
    """Ranges of neighbours of one dtype in a row's struct, compared in one go.

    Attributes:
        dtype: little-endian, of the values and of the bounds.
        offset: bytes before the first value.
        low, high: [count], inclusive.
    """

    dtype: np.dtype[Any]
    offset: int
    low: npt.NDArray[Any]
    high: npt.NDArray[Any]


@dataclass(frozen=True)
class FeatureView:
    """Features of one entity that are stored, read and judged together.

    Two clocks, never mixed: `ttl_seconds` bounds the row's age and `freshness_seconds`
    its writer's. The old row of a quiet user is fresh while the writer lives; a dead
    writer makes every row stale.

    Attributes:
        name: of the view in the stores; lower case, digits and "_", at most 64.
        entity: whose row it is.
        source: who writes it.
        features: in the order in which a row has them.
        ttl_seconds: a request's event time may be this far past a row's.
        freshness_seconds: now may be this far past the writer's watermark; 0 for a view
            without a writer that must live.
        when_stale: what stands in for a missing or stale row.
        description: one line.
    """

    name: str
    entity: Entity
    source: Source
    features: tuple[Feature, ...]
    ttl_seconds: int
    freshness_seconds: int
    when_stale: WhenStale
    description: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise InvalidArgumentError(f"a view's name is {self.name!r}", "name")
        names = [feature.name for feature in self.features]
        if not names or len(set(names)) != len(names):
            raise InvalidArgumentError(
                f"{self.name}: features are {names}, must be some, each once",
                "features",
            )
        if self.ttl_seconds <= 0 or self.freshness_seconds < 0:
            raise InvalidArgumentError(
                f"{self.name}: ttl_seconds is {self.ttl_seconds}, must be >= 1; "
                f"freshness_seconds is {self.freshness_seconds}, must be >= 0",
                "ttl_seconds",
            )
        if not self.has_lists and self.row_dtype.itemsize > MAX_ROW_BYTES:
            raise InvalidArgumentError(
                f"{self.name}: a row has {self.row_dtype.itemsize} bytes, "
                f"must be in [1, {MAX_ROW_BYTES}]",
                "features",
            )

    @cached_property
    def has_lists(self) -> bool:
        """Whether a row's body is of a codec of its own, not of `row_dtype`."""
        return any(feature.length == 0 for feature in self.features)

    @cached_property
    def row_dtype(self) -> np.dtype[Any]:
        """The packed little-endian struct of a row, fields in the declared order.

        Raises:
            FailedPreconditionError: the view has lists.
        """
        if self.has_lists:
            raise FailedPreconditionError(f"{self.name} has lists: no struct holds it")
        return np.dtype([_field(feature) for feature in self.features])

    def schema_hash(self) -> str:
        """SHA-256 in hex of what a row means: entity, names, types, defaults, order.

        Windows and the action when stale are not in it: they may be tuned while the
        rows stay what they are.
        """
        return self._schema_hash

    @cached_property
    def _schema_hash(self) -> str:
        lines = [f"{self.name} {self.entity.name} {self.entity.id_field}"]
        lines += [
            f"{f.name} {f.dtype} {f.length} {_plain(f, f.default)!r}"
            for f in self.features
        ]
        return _sha256(lines)

    @cached_property
    def schema_key(self) -> int:
        """The hash's first eight bytes, which each row carries."""
        return int.from_bytes(bytes.fromhex(self._schema_hash)[:8], "little")

    @cached_property
    def bounds(self) -> tuple[Bounds, ...]:
        """The ranges of the struct's values, in order, one for each run of a dtype."""
        runs: list[Bounds] = []
        offset = 0
        for feature in self.features:
            bounds = _bounds(feature, offset)
            offset += feature.length * bounds.dtype.itemsize
            if runs and runs[-1].dtype == bounds.dtype:
                last = runs.pop()
                low = np.concatenate([last.low, bounds.low])
                high = np.concatenate([last.high, bounds.high])
                bounds = Bounds(last.dtype, last.offset, low, high)
            runs.append(bounds)
        return tuple(runs)

    def default_row(self) -> RowValues:
        """Returns a row of defaults, memory of its own, writable.

        Raises:
            FailedPreconditionError: the view has lists.
        """
        row = np.zeros((), self.row_dtype)
        for feature in self.features:
            row[feature.name] = feature.default
        return row

    def feature(self, name: str) -> Feature:
        """Returns the feature of that name.

        Raises:
            UnknownFeatureError: there is none; names the nearest.
        """
        for feature in self.features:
            if feature.name == name:
                return feature
        names = [feature.name for feature in self.features]
        raise UnknownFeatureError(nearest(f"feature of {self.name}", name, names))


@dataclass(frozen=True)
class FeatureService:
    """The views that a model is served with, in order."""

    name: str
    views: tuple[FeatureView, ...]

    def __post_init__(self) -> None:
        names = [view.name for view in self.views]
        if not names or len(set(names)) != len(names):
            raise InvalidArgumentError(
                f"{self.name}: views are {names}, must be some, each once", "views"
            )

    def schema_hash(self) -> str:
        """SHA-256 in hex of the views' hashes in order; a release carries it."""
        return _sha256([view.schema_hash() for view in self.views])

    def view(self, name: str) -> FeatureView:
        """Returns the view of that name.

        Raises:
            UnknownViewError: there is none; names the nearest.
        """
        for view in self.views:
            if view.name == name:
                return view
        names = [view.name for view in self.views]
        raise UnknownViewError(nearest(f"view of {self.name}", name, names))


def _bounds(feature: Feature, offset: int) -> Bounds:
    dtype = _stored_dtype(feature)
    # The int of an int64's bound: as a float it may be one too high to be held.
    low, high = (_plain(feature, bound) for bound in (feature.low, feature.high))
    return Bounds(
        dtype,
        offset,
        np.full(feature.length, low, dtype),
        np.full(feature.length, high, dtype),
    )


def _stored_dtype(feature: Feature) -> np.dtype[Any]:
    return np.dtype(feature.dtype).newbyteorder("<")


def _field(feature: Feature) -> tuple[Any, ...]:
    dtype = _stored_dtype(feature)
    if feature.length == 1:
        return (feature.name, dtype)
    return (feature.name, dtype, (feature.length,))


def _plain(feature: Feature, value: float) -> float:
    # 0 and 0.0 are one default, of one hash.
    return float(value) if feature.dtype == "float32" else int(value)


def _sha256(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
