"""Display names of a release's items."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from stepwell.base.errors import DataLossError

ITEM_NAMES_FILE = "item_names.safetensors"


class StoredItemNames:
    """Names in one block of UTF-8, decoded when asked for. Concurrency: immutable.

    Args:
        blob: uint8 [B], all names one after the other.
        offsets: int64 [N + 1], where each begins and the last ends.
    """

    def __init__(
        self, blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
    ) -> None:
        self._blob = blob.tobytes()
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def name_of_row(self, row: int) -> str:
        """Returns the name of an item, 0 <= row < N; "" when it has none."""
        start, end = self._offsets[row : row + 2].tolist()
        return self._blob[start:end].decode(errors="replace")

    @classmethod
    def load(cls, release_dir: Path) -> "StoredItemNames":
        """Reads a release's file of names.

        Raises:
            DataLossError: unreadable, or the offsets do not tile the bytes.
        """
        path = release_dir / ITEM_NAMES_FILE
        try:
            tensors = load_file(path)
            blob, offsets = tensors["bytes"], tensors["offsets"]
        except (SafetensorError, OSError, KeyError) as error:
            raise DataLossError(f"{path}: {error}") from error
        tiles = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(blob)
        if not tiles or np.any(np.diff(offsets) < 0):
            raise DataLossError(f"{path}: offsets do not tile {len(blob)} bytes")
        return cls(blob, offsets)
