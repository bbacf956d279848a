"""Is an answer of a shard what was asked for? Checked before a row of it is used."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError
from stepwell.embeddings.shard_map import KeyArray
from stepwell_pb.v1 import embedding_pb2


@dataclass(frozen=True, slots=True)
class ShardRows:
    """Rows of the keys found: bool [n] over the keys asked, float32 [found, dim]."""

    found: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.float32]


def checked_rows(
    response: embedding_pb2.LookupResponse, keys: KeyArray, dim: int, serial: int
) -> ShardRows:
    """Returns the rows of an answer to a lookup of `keys`.

    Raises:
        DataLossError: another release, width or order, keys that nobody asked for,
            too few bytes, or a number that is not finite.
    """
    if response.release_serial != serial:
        raise DataLossError(
            f"rows are of release {response.release_serial}, must be of {serial}"
        )
    found_keys = np.fromiter(response.keys, np.uint64, len(response.keys))
    found = np.isin(keys, found_keys)
    if not np.array_equal(keys[found], found_keys):
        raise DataLossError("keys differ from those asked for, or in their order")
    if len(found_keys) and response.dim != dim:
        raise DataLossError(f"rows have {response.dim} floats, must have {dim}")
    if len(response.rows) != len(found_keys) * dim * 4:
        raise DataLossError(
            f"{len(found_keys)} rows have {len(response.rows)} bytes, "
            f"must have {len(found_keys) * dim * 4}"
        )
    rows = np.frombuffer(response.rows, "<f4").reshape(-1, dim)
    if not np.isfinite(rows).all():
        raise DataLossError("a row has a number that is not finite")
    return ShardRows(found, rows)
