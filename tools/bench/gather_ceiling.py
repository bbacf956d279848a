"""What this machine can do at best at the sizes of `ops`, by hand-written loops.

The loops (gather_ceiling.cc) gather from the same storage as our op, with no checks, no
row formats and no pooling modes, and multiply-add from registers. One thread.
"""

import ctypes
import time
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from stepwell.base.native import native_library
from stepwell.ops.packed_tables import BYTE_OFFSET, PackedTables
from stepwell.ops.quantize_rows import row_bytes

# Entries ahead that a gather prefetches; the best of them counts. Rows of two lines
# want many more of them under way than rows of eight.
DISTANCES = (8, 16, 32, 64, 128)
LINE_BYTES = 64
_REPEATS = 200_000


def gathers(
    tables: PackedTables, ids: list[Tensor], length: int
) -> dict[int, Callable[[int], Tensor]]:
    """Returns prefetch distance -> a gather of index set `s` that returns its output.

    Args:
        tables: equal row formats and dims, in huge pages where there are any.
        ids: for each index set int64 [T * B * length], table-major, all in range.
        length: entries of every bag.
    Returns:
        calls that give int32 [B, T, W], W the int32 numbers of a bag's float32 output:
        the bag's rows added up line by line as integers, repeated to fill W.
    Raises:
        ValueError: there is no loop for rows of this size.
    """
    size = row_bytes(tables.row_formats[0], tables.dims[0])
    num_tables, out_bytes = tables.num_tables, 4 * tables.dims[0]
    num_bags = ids[0].numel() // num_tables // length
    starts = tables.layout[:, BYTE_OFFSET].contiguous()
    library = _library()

    def gather(index_set: int, distance: int) -> Tensor:
        # A fresh output for each call, as an op has it.
        out = torch.empty(num_bags, num_tables, out_bytes // 4, dtype=torch.int32)
        failed = library.StepwellGatherCeiling(
            ctypes.c_void_p(tables.rows.data_ptr()),
            ctypes.c_void_p(starts.data_ptr()),
            *map(ctypes.c_int64, (num_tables, num_bags, length)),
            ctypes.c_void_p(ids[index_set].data_ptr()),
            ctypes.c_void_p(out.data_ptr()),
            *map(ctypes.c_int64, (out_bytes, size, distance)),
        )
        if failed:
            raise ValueError(f"no gather loop for rows of {size} bytes")
        return out

    return {far: partial(gather, distance=far) for far in DISTANCES}


def multiply_adds_per_us(dtype: torch.dtype) -> float | None:
    """Returns operations a microsecond from registers (a multiply-add is two).

    The fastest of 20 spans, for it is a bound. None for bfloat16 where the processor
    has no instruction for its dots.
    """
    library = _library()
    loop = library.StepwellMultiplyAdd
    if dtype == torch.bfloat16:
        loop = library.StepwellMultiplyAddBfloat16
    best = 0.0
    for _ in range(20):
        started = time.perf_counter()
        done = loop(ctypes.c_int64(_REPEATS))
        best = max(best, done / ((time.perf_counter() - started) * 1e6))
    return best or None


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(native_library("tools/bench/libgather_ceiling.so")))
    library.StepwellMultiplyAdd.restype = ctypes.c_double
    library.StepwellMultiplyAddBfloat16.restype = ctypes.c_double
    return library
