"""What a release says of its items: categories, numbers as of the cut, names."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from stepwell.schema.feature_registry import DAY_SECONDS, ITEM_ACTIVITY
from stepwell.training.rows_as_of import item_rows
from stepwell.training.split import Snapshot

ITEM_COLUMNS_FILE = "item_columns.safetensors"
ITEM_NAMES_FILE = "item_names.safetensors"
DECAY_HALF_LIVES_DAYS = (7, 21, 60, 120)
BUYER_WINDOWS_DAYS = (7, 28, 84)
_PRICE_WINDOW_DAYS = 90

Columns = dict[str, npt.NDArray[Any]]


def item_columns(snapshot: Snapshot) -> Columns:
    """Returns the columns of the N items of a snapshot's catalogue.

    Keys:
        category/<name>: int32 [N], 0 unknown; names in `category_names/<name>/bytes`
            (UTF-8) and `/offsets` int64 [V + 1].
        number/<name>: float32 [N], NaN unknown: those of the item table and, as of the
            cut, price (mean value of an event over 90 days, else over all), num_events,
            num_buyers, buyers_{7,28,84}d, decayed_{7,21,60,120}d, repeat_share (part of
            the buyers who bought again), mean_interval_days.
        time/first_seen, time/last_seen: int64 [N], unix seconds.
        activity/<feature>: those of the view item_activity as of the cut, from where
            the stream goes on.
    """
    table, rows = snapshot.table.item_table, snapshot.table_rows
    columns: Columns = {}
    for name, column in table.categories.items():
        columns[f"category/{name}"] = column.codes[rows]
        blob, offsets = _packed(list(column.names))
        columns[f"category_names/{name}/bytes"] = blob
        columns[f"category_names/{name}/offsets"] = offsets
    for name, number in table.numbers.items():
        columns[f"number/{name}"] = number[rows]
    for name, values in _measured(snapshot).items():
        columns[f"number/{name}"] = values.astype(np.float32)
    columns["time/first_seen"] = _extreme(snapshot, np.minimum, 2**62)
    columns["time/last_seen"] = _extreme(snapshot, np.maximum, -(2**62))
    activity = item_rows(snapshot)
    for feature in ITEM_ACTIVITY.features:
        values = np.ascontiguousarray(activity[feature.name])
        columns[f"activity/{feature.name}"] = values
    return columns


def save_item_columns(snapshot: Snapshot, folder: Path) -> None:
    """Writes ITEM_COLUMNS_FILE and ITEM_NAMES_FILE (bytes, offsets) into a folder."""
    save_file(item_columns(snapshot), folder / ITEM_COLUMNS_FILE)
    names = snapshot.table.item_table.display_names
    blob, offsets = _packed([names[row] for row in snapshot.table_rows])
    save_file({"bytes": blob, "offsets": offsets}, folder / ITEM_NAMES_FILE)


def _measured(snapshot: Snapshot) -> Columns:
    num_items, pairs = snapshot.num_items, snapshot.pairs
    num_events = np.bincount(snapshot.item_rows, minlength=num_items)
    num_buyers = np.bincount(pairs.item_rows, minlength=num_items)
    again = pairs.counts > 1
    repeaters = np.bincount(pairs.item_rows[again], minlength=num_items)
    days = (pairs.last_times - pairs.first_times)[again] / DAY_SECONDS
    interval = days / (pairs.counts[again] - 1)
    summed = np.bincount(pairs.item_rows[again], interval, num_items)
    measured: Columns = {
        "price": _price(snapshot),
        "num_events": num_events,
        "num_buyers": num_buyers,
        "repeat_share": repeaters / np.maximum(num_buyers, 1),
        "mean_interval_days": np.where(
            repeaters > 0, summed / np.maximum(repeaters, 1), np.nan
        ),
    }
    for window in BUYER_WINDOWS_DAYS:
        start = snapshot.cut_time - window * DAY_SECONDS
        buyers = snapshot.distinct_buyers(start, snapshot.cut_time)
        measured[f"buyers_{window}d"] = buyers
    for half_life in DECAY_HALF_LIVES_DAYS:
        measured[f"decayed_{half_life}d"] = snapshot.decayed_counts(half_life)
    return measured


def _price(snapshot: Snapshot) -> npt.NDArray[np.float64]:
    prices = []
    for days in (_PRICE_WINDOW_DAYS, None):
        since = snapshot.cut_time - days * DAY_SECONDS if days else 0
        kept = (snapshot.times >= since) & (snapshot.values > 0)
        rows = snapshot.item_rows[kept]
        counts = np.bincount(rows, minlength=snapshot.num_items)
        sums = np.bincount(rows, snapshot.values[kept], snapshot.num_items)
        prices.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    return np.where(np.isnan(prices[0]), prices[1], prices[0])


def _extreme(snapshot: Snapshot, keep: np.ufunc, start: int) -> npt.NDArray[np.int64]:
    found = np.full(snapshot.num_items, start, np.int64)
    keep.at(found, snapshot.item_rows, snapshot.times)
    return found


def _packed(texts: list[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets
