"""A patch: what turns one file into another, as runs of the first and new bytes.

    header    magic, then the base's, the result's bytes and the number of runs, uint64
    runs      int64 [R, 2]: offset in the base (-1: new bytes) and length
    new bytes of all runs, one after the other

Little-endian. A reader needs no more memory than the runs and one buffer, and refuses
runs that leave the base or do not add up before it writes anything. Whether the result
is the right one is said by its digest, which is the manifest's.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError
from stepwell.releases.delta_runs import LITERAL, Runs

_MAGIC = b"STWPATC1"
_HEADER = np.dtype("<u8")
_HEADER_FIELDS = 3
_HEADER_BYTES = len(_MAGIC) + _HEADER_FIELDS * _HEADER.itemsize
_RUN_BYTES = 16
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PatchHead:
    """A patch but for its new bytes; `runs` int64 [R, 2]."""

    base_bytes: int
    result_bytes: int
    runs: Runs


def write_patch(path: Path, base_bytes: int, result: memoryview, runs: Runs) -> None:
    """Writes the patch that makes `result` of a base of so many bytes.

    Args:
        path: replaced when it exists.
        base_bytes: size of the file that the runs point into.
        result: the whole result.
        runs: as delta_runs.runs_between gives them.
    """
    with path.open("wb") as file:
        file.write(_MAGIC)
        file.write(np.array([base_bytes, len(result), len(runs)], _HEADER).tobytes())
        file.write(np.ascontiguousarray(runs, "<i8").tobytes())
        at = 0
        for offset, length in runs.tolist():
            if offset == LITERAL:
                file.write(result[at : at + length])
            at += length


def patch_bytes(runs: Runs) -> int:
    """Returns the size of the patch that `write_patch` would write."""
    new = int(runs[runs[:, 0] == LITERAL, 1].sum())
    return _HEADER_BYTES + _RUN_BYTES * len(runs) + new


def apply_patch(base: Path, patch: Path, result: Path, result_bytes: int) -> str:
    """Writes `result`; returns its SHA-256 in hex.

    Args:
        base: the file that the patch was made for.
        patch: as `write_patch` wrote it.
        result: must not exist.
        result_bytes: what the result must have.
    Raises:
        DataLossError: the patch is damaged or for a base of another size.
    Cost: one pass over the result; `_BUFFER_BYTES` and the runs of memory.
    """
    digest = hashlib.sha256()
    with patch.open("rb") as new, base.open("rb") as old, result.open("xb") as out:
        head = _read_head(new, patch, patch.stat().st_size)
        sizes = (head.base_bytes, head.result_bytes)
        expected = (base.stat().st_size, result_bytes)
        if sizes != expected:
            raise DataLossError(
                f"{patch} makes {sizes[1]} bytes of {sizes[0]}, must make "
                f"{expected[1]} of {expected[0]}"
            )
        for offset, length in head.runs.tolist():
            if offset != LITERAL:
                old.seek(offset)
            source = new if offset == LITERAL else old
            _copy(source, length, out, digest)
    return digest.hexdigest()


def _read_head(file: io.BufferedReader, path: Path, size: int) -> PatchHead:
    start = file.read(_HEADER_BYTES)
    if len(start) < _HEADER_BYTES or not start.startswith(_MAGIC):
        raise DataLossError(f"{path} is not a patch")
    fields = np.frombuffer(start, _HEADER, offset=len(_MAGIC))
    base_bytes, result_bytes, num_runs = (int(field) for field in fields)
    # The number is compared with the file before anything of that size is made.
    if num_runs > (size - _HEADER_BYTES) // _RUN_BYTES:
        raise DataLossError(f"{path} has no room for {num_runs} runs")
    runs = np.frombuffer(file.read(num_runs * _RUN_BYTES), "<i8").reshape(-1, 2)
    _check_runs(path, runs, base_bytes, result_bytes)
    if patch_bytes(runs) != size:
        raise DataLossError(f"{path} has {size} bytes, must be {patch_bytes(runs)}")
    return PatchHead(base_bytes, result_bytes, runs)


def _check_runs(path: Path, runs: Runs, base_bytes: int, result_bytes: int) -> None:
    offsets, lengths = runs[:, 0], runs[:, 1]
    limit = max(base_bytes, result_bytes)
    in_range = (offsets >= LITERAL) & (lengths > 0) & (lengths <= limit)
    # No sum is taken of numbers that could overflow it.
    if not in_range.all() or sum(lengths.tolist()) != result_bytes:
        raise DataLossError(f"{path}: its runs do not make {result_bytes} bytes")
    copied: npt.NDArray[np.bool_] = offsets != LITERAL
    if np.any(offsets[copied] > base_bytes - lengths[copied]):
        raise DataLossError(f"{path}: a run leaves the {base_bytes} bytes of its base")


def _copy(
    source: io.BufferedReader,
    length: int,
    out: io.BufferedWriter,
    digest: "hashlib._Hash",
) -> None:
    while length:
        piece = source.read(min(length, _BUFFER_BYTES))
        if not piece:
            raise DataLossError(f"{source.name} ended {length} bytes early")
        out.write(piece)
        digest.update(piece)
        length -= len(piece)
