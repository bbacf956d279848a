"""The rows that new items add to the files of a release.

A new item has no buyers yet. What the models ask of it is taken from its like: the
items of the finest category that it shares with any, else of them all.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.training.item_changes import ItemChanges

Tensors = dict[str, npt.NDArray[Any]]
RowArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

_CATEGORY, _NUMBER, _TIME = "category/", "number/", "time/"
_ACTIVITY = "activity/"
_MAX_ALIKE = 256
"""The most bought ones of a category stand for it."""

_NEVER_BOUGHT = (
    *("num_events", "num_buyers", "buyers_7d", "buyers_28d", "buyers_84d"),
    *("decayed_7d", "decayed_21d", "decayed_60d", "decayed_120d", "repeat_share"),
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where changes go in a release of N items.

    Attributes:
        num_items: N, before the change.
        new: int64, places in the changes of what the release does not know; their rows
            are N, N + 1 and so on.
        known: int64, places of what it knows. rows: int64, the rows of those.
    """

    num_items: int
    new: RowArray
    known: RowArray
    rows: RowArray


def grown_columns(
    columns: Tensors, changes: ItemChanges, places: Places, now: int
) -> Tensors:
    """Returns the item columns with the new items' rows and the known ones' changes.

    A category of a name that the release has no code for is unknown, as it is to the
    models. Numbers that count buyers are the release's alone.
    """
    grown = dict(columns)
    for tensor, values in columns.items():
        if tensor.startswith(_CATEGORY):
            name = tensor.removeprefix(_CATEGORY)
            codes = _codes(columns, name, changes)
            grown[tensor] = _grown(values, codes, codes >= 0, places, 0)
        elif tensor.startswith(_NUMBER):
            name = tensor.removeprefix(_NUMBER)
            given = changes.numbers.get(name) if name not in _NEVER_BOUGHT else None
            said = np.full(len(changes), np.nan) if given is None else given
            empty = 0.0 if name in _NEVER_BOUGHT else np.nan
            grown[tensor] = _grown(values, said, np.isfinite(said), places, empty)
        elif tensor.startswith((_TIME, _ACTIVITY)):
            first = now if tensor.startswith(_TIME) else 0
            added = np.full(len(places.new), first, values.dtype)
            grown[tensor] = np.concatenate([values, added])
    return grown


def grown_names(names: Tensors, changes: ItemChanges, places: Places) -> Tensors:
    """Returns the names' bytes and offsets with those of the changes.

    A new item without a name is called by its id.
    """
    offsets, blob = names["offsets"].tolist(), names["bytes"].tobytes()
    texts = [blob[a:b] for a, b in pairwise(offsets)]
    for place, row in zip(places.known.tolist(), places.rows.tolist(), strict=True):
        said = changes.names[place]
        texts[row] = said.encode() if said else texts[row]
    texts += [
        (changes.names[place] or changes.ids[place]).encode()
        for place in places.new.tolist()
    ]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return {"bytes": np.frombuffer(b"".join(texts), np.uint8), "offsets": ends}


def alike_rows(
    columns: Tensors, places: Places, preference: tuple[str, ...]
) -> list[RowArray]:
    """Returns for each new item the rows it is taken to be like, the most bought first.

    Args:
        columns: as `grown_columns` made them.
        preference: category columns, the finest first.
    """
    count = places.num_items
    bought = columns[f"{_NUMBER}num_buyers"][:count]
    by_sales = np.argsort(-bought, kind="stable").astype(np.int64)
    found = []
    for row in range(count, count + len(places.new)):
        alike = by_sales
        for name in preference:
            codes = columns[_CATEGORY + name]
            shared = by_sales[codes[by_sales] == codes[row]]
            if codes[row] and len(shared):
                alike = shared
                break
        found.append(alike[:_MAX_ALIKE])
    return found


def mean_rows(vectors: npt.NDArray[Any], alike: list[RowArray]) -> FloatArray:
    """Returns float32 [n, D]: the mean vector of each item's like."""
    width = vectors.shape[1]
    means = [vectors[rows].mean(axis=0, dtype=np.float64) for rows in alike]
    return np.array(means, np.float32).reshape(len(alike), width)


def grown_co_occurrence(tensors: Tensors, columns: Tensors, places: Places) -> Tensors:
    """Returns the co-occurrence model with rows that say nothing is known yet.

    The lift within its category is that of the category's least bought item.
    """
    num_new = len(places.new)
    grown = dict(tensors)
    for name in ("input_vectors", "output_vectors", "neighbour_weights"):
        grown[name] = _with_rows(tensors[name], num_new, 0)
    grown["neighbour_rows"] = _with_rows(tensors["neighbour_rows"], num_new, -1)
    if "affinity_codes" not in tensors:
        return grown
    codes, lifts = tensors["affinity_codes"], tensors["affinity_lifts"]
    added = _affinity_codes(codes, columns, places)
    least = [
        lifts[codes == code].min() if (codes == code).any() else lifts.min()
        for code in added.tolist()
    ]
    grown["affinity_codes"] = np.concatenate([codes, added]).astype(codes.dtype)
    grown["affinity_lifts"] = np.concatenate([lifts, np.array(least, lifts.dtype)])
    return grown


def _affinity_codes(
    codes: npt.NDArray[Any], columns: Tensors, places: Places
) -> npt.NDArray[Any]:
    """New items' codes: those of the category column that the model was made of."""
    for name, column in columns.items():
        if name.startswith(_CATEGORY) and np.array_equal(column[: len(codes)], codes):
            return column[len(codes) :]
    return np.zeros(len(places.new), codes.dtype)


def _codes(columns: Tensors, name: str, changes: ItemChanges) -> npt.NDArray[np.int32]:
    """int32 [C]: the code of what is said, 0 for an unknown name, -1 for nothing."""
    said = changes.categories.get(name, (None,) * len(changes))
    offsets = columns[f"category_names/{name}/offsets"].tolist()
    blob = columns[f"category_names/{name}/bytes"].tobytes()
    words = [blob[a:b].decode() for a, b in pairwise(offsets)]
    code_of = {word: code for code, word in enumerate(words)}
    return np.array(
        [-1 if word is None else code_of.get(word, 0) for word in said], np.int32
    )


def _grown(
    values: npt.NDArray[Any],
    said: npt.NDArray[Any],
    is_said: npt.NDArray[np.bool_],
    places: Places,
    empty: float,
) -> npt.NDArray[Any]:
    """A column of N + n: what is said of known rows put in, new rows behind."""
    grown = _with_rows(values, len(places.new), empty)
    told = is_said[places.known]
    grown[places.rows[told]] = said[places.known[told]]
    added = np.where(is_said[places.new], said[places.new], empty)
    grown[places.num_items :] = added.astype(values.dtype)
    return grown


def _with_rows(values: npt.NDArray[Any], num_new: int, fill: float) -> npt.NDArray[Any]:
    added = np.full((num_new, *values.shape[1:]), fill, values.dtype)
    return np.concatenate([values, added])
