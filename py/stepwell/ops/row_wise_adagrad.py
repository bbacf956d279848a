"""One step of row-wise Adagrad on the rows of a table that got gradients."""

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

_OP = "stepwell::row_wise_adagrad_"


def row_wise_adagrad_(
    table: Tensor,
    moments: Tensor,
    row_ids: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
) -> None:
    """Steps the rows named, in place; other rows and moments are not touched.

    With g the sum of the gradients that name a row, in their order:

        moments[row] += mean(g * g)
        table[row]   -= lr / (sqrt(moments[row]) + eps) * g

    Args:
        table: float32 [N, D], contiguous, D >= 1; changed.
        moments: float32 [N], contiguous, >= 0; changed.
        row_ids: int32 or int64 [L], each in [0, N - 1], in any order. A row may be
            named often: its gradients are summed first, then it makes one step.
        grads: float32 [L, D], contiguous.
        lr: step size, >= 0.
        eps: >= 1e-30, so that a gradient of zero on a row never trained changes
            nothing.
    Raises:
        RuntimeError: wrong rank, dtype, size, device, layout, row or number; names it.
            Nothing has changed then.
    Gradients: none; a table that autograd watches counts as changed.
    Determinism: the CPU gives the same bits whatever the number of threads.
    Concurrency: not safe with other uses of the same table; releases the GIL.
    Cost: a sort of L row numbers (linear), one read and write of each row named.
    Source: Duchi, Hazan & Singer, JMLR 12 (2011), with one moment a row as in
        FBGEMM's EXACT_ROWWISE_ADAGRAD. Differences: none.
    """
    torch.ops.stepwell.row_wise_adagrad_(table, moments, row_ids, grads, lr, eps)
    # The dispatcher does not know that an op of a library changed its arguments.
    torch.autograd.graph.increment_version((table, moments))


def _fake(
    table: Tensor,
    moments: Tensor,
    row_ids: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
) -> None:
    return None


library.register_fake(
    _OP, _fake, ranks={"table": 2, "moments": 1, "row_ids": 1, "grads": 2}
)
