"""Rows of an embedding table as they lie in a release: mapped, found by key."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.base.mapped_tensors import mapped_tensors
from stepwell.embeddings.shard_map import KeyArray

RowArray = npt.NDArray[np.float32]
MAX_DIM = 4_096


class EmbeddingTable:
    """N rows of dim floats, sorted by key.

    Concurrency: immutable. Cost of `find`: a binary search a key.
    """

    def __init__(self, keys: KeyArray, rows: RowArray) -> None:
        if (
            rows.ndim != 2
            or len(rows) != len(keys)
            or not 1 <= rows.shape[1] <= MAX_DIM
        ):
            raise InvalidArgumentError(
                f"{len(keys)} keys have rows of shape {rows.shape}, "
                f"must be (N, 1..{MAX_DIM})"
            )
        if bool(np.any(keys[1:] <= keys[:-1])):
            raise InvalidArgumentError("keys are not ascending and unique", "keys")
        self.keys = keys
        self.rows = rows

    @property
    def dim(self) -> int:
        """Floats in a row."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of_unsorted(cls, keys: KeyArray, rows: RowArray) -> "EmbeddingTable":
        """Returns the table of rows whose unique keys are in any order."""
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], rows[order])

    def find(self, keys: KeyArray) -> tuple[npt.NDArray[np.bool_], RowArray]:
        """Returns bool [N] where a row is there, and the rows found, in order."""
        if not len(self):
            return np.zeros(len(keys), np.bool_), self.rows
        place = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
        found = self.keys[place] == keys
        return found, self.rows[place[found]]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        save_file({"keys": self.keys, "rows": np.ascontiguousarray(self.rows)}, path)

    @classmethod
    def load(cls, path: Path) -> "EmbeddingTable":
        """Maps what `save` wrote; pages are read when rows are asked for.

        Raises:
            DataLossError: the tensors are missing or do not fit.
        """
        tensors = mapped_tensors(path)
        if not {"keys", "rows"} <= tensors.keys():
            raise DataLossError(f"{path} has no keys and rows but {sorted(tensors)}")
        keys, rows = tensors["keys"], tensors["rows"]
        if keys.dtype != np.uint64 or rows.dtype != np.float32:
            raise DataLossError(f"{path} has {keys.dtype} keys and {rows.dtype} rows")
        try:
            return cls(keys, rows)
        except InvalidArgumentError as error:
            raise DataLossError(f"{path}: {error}") from error
