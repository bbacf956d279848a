"""The gradient of an embedding lookup as the rows it touched, not as whole tables."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

_OP = "stepwell::embedding_bag_tables_entry_backward"


def entry_gradients(
    grad: Tensor,
    dims: Sequence[int],
    offsets: Tensor,
    per_sample_weights: Tensor | None = None,
    pooling: str = "sum",
) -> list[Tensor]:
    """Takes the gradient of pooled vectors apart into those of their entries.

    Args:
        grad: float32 [B, D_0 + ... + D_{T-1}], contiguous; [L, D] for pooling "none".
        dims: columns of each table, D_t >= 1; all alike for pooling "none".
        offsets: int32 or int64 [T * B + 1], from 0 to L, never falling.
        per_sample_weights: float32 [L], each entry's factor; all ones when None.
        pooling: "sum", "mean" or "none".
    Returns:
        For each table float32 [L_t, D_t], its entries in order: the gradient of the
        entry's bag times the entry's factor, for a mean over the bag's length. An entry
        of -1 is no exception here.
    Raises:
        RuntimeError: wrong rank, dtype, size, layout, dims or offsets; names it.
    Gradients: none.
    Determinism: the same bits whatever the number of threads.
    Concurrency: safe; releases the GIL.
    Cost: one write of sum(L_t * D_t) floats; about 5 us a call besides. On CUDA the
        sizes have to be read back from the device first.
    """
    out: list[Tensor] = torch.ops.stepwell.embedding_bag_tables_entry_backward(
        grad, list(dims), offsets, per_sample_weights, pooling
    )
    return out


def _fake(
    grad: Tensor,
    dims: list[int],
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    pooling: str,
) -> list[Tensor]:
    # How many entries a table has stands in the offsets' values.
    context = torch.library.get_ctx()
    return [grad.new_empty((context.new_dynamic_size(), dim)) for dim in dims]


library.register_fake(
    _OP, _fake, ranks={"grad": 2, "offsets": 1, "per_sample_weights": 1}
)


def lookup_with_sparse_gradient(
    weights: Sequence[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    default_rows: Tensor | None,
    pooling: str,
) -> Tensor:
    """Returns `embedding_bag_tables` whose tables get gradients in torch.sparse_coo."""
    apply: Callable[..., Tensor] = _SparseLookup.apply
    if torch.compiler.is_compiling():
        apply = _outside_graphs()
    out: Tensor = apply(
        indices, offsets, per_sample_weights, default_rows, pooling, *weights
    )
    return out


# torch's context object takes any attribute, hence Any.
class _SparseLookup(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        indices: Tensor,
        offsets: Tensor,
        per_sample_weights: Tensor | None,
        default_rows: Tensor | None,
        pooling: str,
        *weights: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(
            indices, offsets, per_sample_weights, default_rows, *weights
        )
        ctx.pooling = pooling
        out: Tensor = torch.ops.stepwell.embedding_bag_tables(
            weights, indices, offsets, per_sample_weights, default_rows, pooling
        )
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        indices, offsets, entry_weights, default_rows, *weights = ctx.saved_tensors
        # The kernels compute in float32, also for narrower tables.
        grad = grad.float().contiguous()
        entry_grad = None
        if entry_weights is not None and ctx.needs_input_grad[2]:
            entry_grad = torch.ops.stepwell.embedding_bag_tables_weights_backward(
                grad, weights, indices, offsets, default_rows, ctx.pooling
            )
        needed = ctx.needs_input_grad[5:]
        table_grads: list[Tensor | None] = [None] * len(weights)
        if any(needed):
            dims = [table.shape[1] for table in weights]
            values = entry_gradients(grad, dims, offsets, entry_weights, ctx.pooling)
            lengths = [len(rows) for rows in values]
            named = indices.split(lengths)
            for number, table in enumerate(weights):
                if needed[number]:
                    default = -1 if default_rows is None else int(default_rows[number])
                    table_grads[number] = _sparse_rows(
                        named[number],
                        values[number].to(table.dtype),
                        default,
                        table.shape,
                    )
        return None, None, entry_grad, None, None, *table_grads


def _outside_graphs() -> Callable[..., Tensor]:
    """Made where it is wanted: it brings torch's compiler, a second of imports."""
    leave: Callable[..., Callable[..., Tensor]] = torch.compiler.disable
    return leave(_SparseLookup.apply, reason="torch.compile has no sparse gradients")


def _sparse_rows(
    rows: Tensor, values: Tensor, default_row: int, shape: torch.Size
) -> Tensor:
    """Returns the rows' gradients; entries of -1 are the default row's, or nobody's."""
    if default_row >= 0:
        rows = torch.where(rows < 0, default_row, rows)
    else:
        kept = rows >= 0
        if not bool(kept.all()):
            rows, values = rows[kept], values[kept]
    # The lookup has checked every row.
    return torch.sparse_coo_tensor(
        rows.long()[None], values, shape, check_invariants=False
    )
