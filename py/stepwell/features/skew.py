"""Served features against recomputed ones: how often each differs, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.schema.feature_registry import USER_HISTORY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.user_history import UserHistory

_HISTORY_SCALARS = ("num_events", "num_trips", "first_event_time", "last_event_time")


@dataclass(slots=True)
class FeatureSkew:
    """What became of the comparisons of one feature.

    Attributes:
        num_compared: pairs that were looked at.
        num_different: of them, not the same value.
        sum_difference, max_difference: of those, in the feature's unit; of a feature
            of keys, how many of them differ.
    """

    num_compared: int = 0
    num_different: int = 0
    sum_difference: float = 0.0
    max_difference: float = 0.0

    @property
    def share(self) -> float:
        """Of the pairs, those that differ."""
        return self.num_different / max(self.num_compared, 1)

    @property
    def mean_difference(self) -> float:
        """Of the pairs that differ."""
        return self.sum_difference / max(self.num_different, 1)

    def add(self, differences: npt.NDArray[np.float64]) -> None:
        """Counts pairs by their difference, 0 where they are the same."""
        self.num_compared += len(differences)
        different = differences[differences > 0]
        if len(different):
            self.num_different += len(different)
            self.sum_difference += float(different.sum())
            self.max_difference = max(self.max_difference, float(different.max()))


class SkewTable:
    """Comparisons by feature, named "view:feature" or as in the catalogue.

    Concurrency: one thread.
    """

    def __init__(self) -> None:
        self._features: dict[str, FeatureSkew] = {}

    @property
    def features(self) -> Mapping[str, FeatureSkew]:
        """By name, in the order in which they came."""
        return self._features

    @property
    def different(self) -> list[str]:
        """Names of the features of which at least one pair differs, most first."""
        named = [(skew.share, name) for name, skew in self._features.items()]
        return [name for share, name in sorted(named, key=_by_share) if share > 0]

    def add_row(self, served: FeatureRow, recomputed: FeatureRow) -> None:
        """Compares two rows of one view, feature by feature.

        Raises:
            DataLossError: a body is not what the view's codec reads.
        """
        if served.body == recomputed.body:
            # The same bytes: nothing needs to be decoded but the names.
            again = values = row_values(served)
        else:
            values, again = row_values(served), row_values(recomputed)
        for name, value in values.items():
            difference = _difference(value, again[name])
            self._of(f"{served.view.name}:{name}").add(np.array([difference]))

    def add_rows(
        self, view: str, served: npt.NDArray[Any], recomputed: npt.NDArray[Any]
    ) -> None:
        """Compares structured arrays [n] of a view's `row_dtype`."""
        for name in served.dtype.names or ():
            pairs = _float64(served[name]), _float64(recomputed[name])
            self._of(f"{view}:{name}").add(_apart(*pairs))

    def add_dense(
        self,
        names: Sequence[str],
        served: npt.NDArray[np.float32],
        recomputed: npt.NDArray[np.float32],
    ) -> None:
        """Compares matrices [n, F] of the catalogue's dense features."""
        apart = _apart(_float64(served), _float64(recomputed))
        for place, name in enumerate(names):
            self._of(name).add(apart[:, place])

    def _of(self, name: str) -> FeatureSkew:
        return self._features.setdefault(name, FeatureSkew())


def row_values(row: FeatureRow) -> dict[str, npt.NDArray[Any]]:
    """Returns the values of a row by feature, each as a vector.

    Of a history also its totals, and its segment as bytes.
    """
    if row.view.name != USER_HISTORY.name:
        names = row.values.dtype.names or ()
        return {name: np.atleast_1d(row.values[name]) for name in names}
    history = UserHistory.unpack(row.body)
    lists = {f.name: getattr(history, f.name) for f in row.view.features}
    totals = {name: np.array([getattr(history, name)]) for name in _HISTORY_SCALARS}
    segment = np.frombuffer(history.segment.encode(), np.uint8).astype(np.uint64)
    return {**lists, **totals, "segment": segment}


def _difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The largest difference of two vectors; what only one of them has is against 0."""
    size = max(len(one), len(other))
    if not size:
        return 0.0
    one, other = _padded(one, size), _padded(other, size)
    if one.dtype.kind == "u":
        return float((one != other).sum())  # keys: by how much says nothing
    return float(_apart(_float64(one), _float64(other)).max())


def _padded(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return np.pad(values, (0, size - len(values)))


def _apart(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Absolute differences; 0 for the same value, NaN beside NaN among them."""
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        apart = np.abs(one - other)
    # NaN against a number is as different as can be.
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _float64(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _by_share(entry: tuple[float, str]) -> tuple[float, str]:
    return -entry[0], entry[1]
