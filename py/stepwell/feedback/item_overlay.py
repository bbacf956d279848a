"""A release's items with what the log says of them, in memory by item row."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from stepwell.feedback.item_state import ItemRows, ItemState, decayed_to, merged
from stepwell.schema.feature_registry import ITEM_ACTIVITY, ITEM_ACTIVITY_TYPES
from stepwell.schema.vocabulary import KeyArray, RowArray, Vocabulary

MAX_RISING = 100
MIN_GROWTH = 2.0
"""Standard deviations by which the last day must be above the week before it."""

Rising = tuple[RowArray, npt.NDArray[np.float32]]
"""Item rows int64 [K] and their growth float32 [K], best first, ties by lower row."""


class ItemOverlays(Protocol):
    """Keeps the overlays of the releases that are served. Concurrency: any thread."""

    def overlay_of(self, vocabulary: Vocabulary, base: ItemRows) -> "ItemOverlay":
        """Returns the overlay of a release.

        Args:
            vocabulary: the items of the release.
            base: rows [N] by item row, as of the release's training data; read only.
        """
        ...


class ItemOverlay:
    """Rows of ITEM_ACTIVITY by item row of one release, changed in place.

    Args:
        vocabulary: the items of the release.
        base: rows [N] as of the release's training data; only read.

    Concurrency: one thread changes it, any may read `rows` at any time, and a changed
    row may be half new to a reader that does not hold the interpreter's lock. Who needs
    to know that nothing moved compares `version`, which is odd during a change, before
    and after.
    """

    def __init__(self, vocabulary: Vocabulary, base: ItemRows) -> None:
        self._vocabulary = vocabulary
        self._base = base
        self._rows = np.array(base, ITEM_ACTIVITY.row_dtype)
        self._touched = np.zeros(len(base), np.bool_)
        self.rising: Rising = (np.zeros(0, np.int64), np.zeros(0, np.float32))
        self.version = 0
        self.next_offset = 0

    @property
    def rows(self) -> ItemRows:
        """The rows [N]; the same memory for the overlay's life."""
        return self._rows

    def update(self, keys: KeyArray, seen: ItemRows, next_offset: int) -> None:
        """Sets the rows of some items to what the release and the log say of them.

        Args:
            keys: uint64 [n], of the items; those that the release has not are left out.
            seen: rows [n] of the log's state.
            next_offset: of the log; the state has all events before it.
        Cost: about 1 us an item.
        """
        found = self._vocabulary.rows_of_keys(keys)
        known = found >= 0
        at = found[known]
        rows = merged(self._base[at], seen[known])
        self.version += 1
        self._rows[at] = rows
        self._touched[at] = True
        self.next_offset = next_offset
        self.version += 1

    def rank(self, now_seconds: int) -> None:
        """Chooses `rising`: of the items that the log has spoken of, the growing ones.

        Growth is as of the release's trending list, the excess over what was expected
        in standard deviations of a Poisson count; of clicks or of purchases, whichever
        grows more. At a steady rate a count of one day is a seventh of the week's.

        Cost: about 0.2 us an item of the log.
        """
        at = np.flatnonzero(self._touched)
        rows = self._rows[at]
        growth = np.zeros(len(at))
        for kind in ITEM_ACTIVITY_TYPES:
            name = kind.name.lower()
            day = decayed_to(rows, f"{name}_decayed_1d", now_seconds)
            expected = (decayed_to(rows, f"{name}_decayed_7d", now_seconds) + 1.0) / 7.0
            growth = np.maximum(growth, (day - expected) / np.sqrt(expected + 1.0))
        order = np.argsort(-growth, kind="stable")[:MAX_RISING]
        order = order[growth[order] >= MIN_GROWTH]
        self.rising = at[order], growth[order].astype(np.float32)

    def fill(self, state: ItemState, next_offset: int) -> None:
        """Sets the rows of all items that a state knows."""
        self.update(state.keys.copy(), state.rows.copy(), next_offset)
