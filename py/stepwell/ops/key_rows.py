"""From 64-bit keys to dense rows, many at once."""

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

KeyArray = npt.NDArray[np.uint64]
RowArray = npt.NDArray[np.int64]


class KeyRows:
    """Where each of N distinct keys stands.

    Args:
        sorted_keys: uint64 [N], ascending. Borrowed, as is `rows`.
        rows: int64 [N], of each.

    Raises:
        InvalidArgumentError: another type, or lengths that differ.
    Concurrency: immutable. Memory: 4 to 8 bytes a key besides.
    """

    def __init__(self, sorted_keys: KeyArray, rows: RowArray) -> None:
        self._native = _native.KeyRows(sorted_keys, rows)

    def find(self, keys: KeyArray) -> RowArray:
        """Returns int64 [K]: the row of each key, -1 where it is unknown.

        Args:
            keys: uint64 [K], at any address.
        Raises:
            InvalidArgumentError: another type.
        Cost: about 10 ns a key where keys are spread evenly, as hashes are.
        """
        rows: RowArray = self._native.find(keys)
        return rows
