"""What a release knows of its items, laid out for one gather a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from stepwell.base.errors import DataLossError
from stepwell.features.catalogue import FeatureCatalogue
from stepwell.ops.feature_table import ItemTable
from stepwell.schema.feature_registry import ITEM_ACTIVITY

ITEM_COLUMNS_NAME = "item_columns.safetensors"
_CATEGORY, _NUMBER, _TIME = "category/", "number/", "time/"
_ACTIVITY = "activity/"

FloatArray = npt.NDArray[np.float32]

_NUMBERS = (
    "num_events",
    "num_buyers",
    "buyers_7d",
    "buyers_28d",
    "buyers_84d",
    "decayed_7d",
    "decayed_21d",
    "decayed_60d",
    "decayed_120d",
    "repeat_share",
    "mean_interval_days",
    "price",
)
"""Columns in the order of the first of catalogue.ITEM_FEATURES."""


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """Columns of the N items of a release.

    Attributes:
        numbers: float32 [N, 14], the item features that do not depend on the request,
            in the catalogue's order; unknown values are the column's median.
        first_seen, last_seen: int64 [N], unix seconds.
        categories: int32 [N] by affinity or embedded column, 0 unknown.
        category_sizes: rows of each category's table.
        category_shares: float32 [N] by affinity column: the item's part of its
            category's distinct buyers of the last 4 weeks.
        activity: rows [N] of ITEM_ACTIVITY as of the release's data, from where the
            stream goes on; None where the catalogue has no such features.

    Concurrency: immutable.
    """

    numbers: FloatArray
    first_seen: npt.NDArray[np.int64]
    last_seen: npt.NDArray[np.int64]
    categories: dict[str, npt.NDArray[np.int32]]
    category_sizes: dict[str, int]
    category_shares: dict[str, FloatArray]
    activity: npt.NDArray[np.void] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def table(self, catalogue: FeatureCatalogue) -> ItemTable:
        """Returns the columns that the catalogue needs, as the kernel takes them."""
        affinities = catalogue.affinity_columns
        return ItemTable(
            numbers=self.numbers,
            price=_NUMBERS.index("price"),
            interval=_NUMBERS.index("mean_interval_days"),
            first_seen=self.first_seen,
            last_seen=self.last_seen,
            affinity_codes=[self.categories[name] for name in affinities],
            affinity_shares=[self.category_shares[name] for name in affinities],
            embedded_codes=[self.categories[n] for n in catalogue.embedded_columns],
        )

    @classmethod
    def load(cls, release_dir: Path, catalogue: FeatureCatalogue) -> "ItemColumns":
        """Reads a release's `item_columns.safetensors`.

        Raises:
            DataLossError: unreadable, a column is missing, or lengths differ.
        """
        path = release_dir / ITEM_COLUMNS_NAME
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataLossError(f"{path}: {error}") from error
        return cls.from_tensors(tensors, catalogue)

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], catalogue: FeatureCatalogue
    ) -> "ItemColumns":
        """Takes the columns the catalogue needs: number/, time/ and category/.

        Raises:
            DataLossError: a column is missing, lengths differ, or a code is out of
                range.
        """
        names = {*catalogue.affinity_columns, *catalogue.embedded_columns}
        wanted = [_NUMBER + name for name in _NUMBERS]
        wanted += [_TIME + "first_seen", _TIME + "last_seen"]
        wanted += [_CATEGORY + name for name in sorted(names)]
        of_activity = ITEM_ACTIVITY.features if catalogue.item_features else ()
        wanted += [_ACTIVITY + feature.name for feature in of_activity]
        _check(tensors, wanted)
        numbers = np.stack([_filled(tensors[_NUMBER + n]) for n in _NUMBERS], axis=1)
        categories = {n: tensors[_CATEGORY + n].astype(np.int32) for n in names}
        buyers = numbers[:, _NUMBERS.index("buyers_28d")]
        return cls(
            numbers=_with_trends(numbers),
            first_seen=tensors[_TIME + "first_seen"].astype(np.int64),
            last_seen=tensors[_TIME + "last_seen"].astype(np.int64),
            categories=categories,
            category_sizes={n: _size(tensors, n) for n in names},
            category_shares={
                n: _share(buyers, categories[n]) for n in catalogue.affinity_columns
            },
            activity=_activity(tensors) if of_activity else None,
        )


def category_names(tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[str, ...]:
    """Returns the names of the category columns there are, sorted."""
    return tuple(
        sorted(n.removeprefix(_CATEGORY) for n in tensors if n.startswith(_CATEGORY))
    )


def _check(tensors: Mapping[str, npt.NDArray[Any]], wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise DataLossError(f"item columns lack {', '.join(missing)}")
    lengths = {len(tensors[name]) for name in wanted}
    if len(lengths) > 1:
        raise DataLossError(f"item columns have different lengths: {sorted(lengths)}")
    for name in wanted:
        codes = tensors[name]
        if name.startswith(_CATEGORY) and len(codes) and codes.min() < 0:
            raise DataLossError(f"{name} has code {codes.min()}, must be >= 0")


def _size(tensors: Mapping[str, npt.NDArray[Any]], name: str) -> int:
    """Rows of a category's table: all named codes, also those without an item."""
    codes = tensors[_CATEGORY + name]
    used = int(codes.max()) + 1 if len(codes) else 1
    offsets = tensors.get(f"category_names/{name}/offsets")
    return max(used, len(offsets) - 1 if offsets is not None else 1)


def _filled(column: npt.NDArray[Any]) -> FloatArray:
    values = column.astype(np.float32)
    known = np.isfinite(values)
    if known.all():
        return values
    fill = np.median(values[known]) if known.any() else 0.0
    return np.where(known, values, np.float32(fill)).astype(np.float32)


def _activity(tensors: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.void]:
    columns = {f.name: tensors[_ACTIVITY + f.name] for f in ITEM_ACTIVITY.features}
    rows = np.zeros(len(next(iter(columns.values()))), ITEM_ACTIVITY.row_dtype)
    for name, column in columns.items():
        rows[name] = column
    return rows


def _with_trends(numbers: FloatArray) -> FloatArray:
    def column(name: str) -> FloatArray:
        return numbers[:, _NUMBERS.index(name)]

    trend = np.log1p(column("buyers_7d")) - np.log1p(column("buyers_28d") / 4)
    momentum = np.log((column("decayed_21d") + 0.5) / (column("decayed_120d") + 0.5))
    both = np.stack([trend, momentum], axis=1)
    return np.ascontiguousarray(np.hstack([numbers, both]), np.float32)


def _share(buyers: FloatArray, codes: npt.NDArray[np.int32]) -> FloatArray:
    totals = np.bincount(codes, buyers)
    return np.asarray(buyers / np.maximum(totals[codes], 1.0), np.float32)
