"""The lookup that one would write in Triton: a peer of the benchmark `ops_cuda`."""

import triton  # type: ignore[import-not-found]
import triton.language as tl  # type: ignore[import-not-found]
from torch import Tensor


# Triton reads the annotations of its constants; the others are pointers.
@triton.jit  # type: ignore[untyped-decorator]
def _lookup_kernel(  # type: ignore[no-untyped-def]
    table,
    ids,
    output,
    batch,
    num_tables,
    LENGTH: tl.constexpr,  # noqa: N803
    DIM: tl.constexpr,  # noqa: N803
):
    bag = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, DIM)
    total = tl.zeros((DIM,), dtype=tl.float32)
    for entry in range(LENGTH):
        row = tl.load(ids + bag * LENGTH + entry)
        total += tl.load(table + row * DIM + columns).to(tl.float32)
    place = (bag % batch) * num_tables + bag // batch
    tl.store(output + place * DIM + columns, total.to(tl.bfloat16))


def lookup(table: Tensor, ids: Tensor, num_tables: int, batch: int) -> Tensor:
    """Returns the sums of bags of one length, tables side by side.

    Args:
        table: bfloat16 [N, D] on CUDA, D a power of two.
        ids: int64 [T * B, L], rows of the one table.
    """
    bags, length = ids.shape
    dim = table.shape[1]
    output: Tensor = table.new_empty(batch, num_tables * dim)
    _lookup_kernel[(bags,)](
        table, ids, output, batch, num_tables, LENGTH=length, DIM=dim, num_warps=1
    )
    return output
