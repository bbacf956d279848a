"""Embedding lookup and pooling over all tables of a model in one call."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from stepwell.ops import library
from stepwell.ops.embedding_bag_sparse_gradient import lookup_with_sparse_gradient

library.load()

Pooling = Literal["sum", "mean", "none"]
_OP = "stepwell::embedding_bag_tables"


def embedding_bag_tables(
    weights: Sequence[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None = None,
    pooling: Pooling = "sum",
    default_rows: Tensor | None = None,
    sparse_grad: bool = False,
) -> Tensor:
    """Looks up jagged bags in T tables and returns their pooled rows side by side.

    Bag number t * B + b is indices[offsets[t * B + b] : offsets[t * B + b + 1]], the
    entries of sample b in table t. An index of -1 names the table's default row and is
    an entry like any other: it counts in a mean, and its gradient goes to that row.
    Where the default row is zeros it adds nothing and has no gradient. An empty bag
    pools to zeros.

    Args:
        weights: T tables [N_t, D_t], all float32, all float16 or all bfloat16,
            contiguous, one device; D_t >= 1, N_t >= 0.
        indices: int32 or int64 [L], each in [-1, N_t - 1], table-major.
        offsets: dtype of indices, [T * B + 1], from 0 to L, never falling.
        per_sample_weights: float32 [L], each entry's factor; all ones when None.
        pooling: "sum"; "mean": the (weighted) sum over the number of entries; or
            "none": each entry's row (times its weight) by itself.
        default_rows: int64 [T], on the CPU; the row that -1 names in each table, or -1
            for zeros. All zeros when None.
        sparse_grad: give each table a sparse gradient: the rows that it was asked for,
            once for each entry, not coalesced. It costs what the entries cost, however
            large the table. torch.compile leaves its graph for it.
    Returns:
        [B, D_0 + ... + D_{T-1}] in the tables' dtype, added up in float32. For "none",
        when all D_t are one D, [L, D]: one row an entry, in the order of indices.
    Raises:
        RuntimeError: wrong rank, dtype, size, device, layout, offset or index; names
            the argument, what was expected and what came, for an index also table and
            position. On CUDA a bad index or offset is printed and traps the kernel,
            as in torch's own embedding: the process has to restart.
    Gradients: of weights ([N_t, D_t] each, dense or sparse, added up in float32) and of
        per_sample_weights, once.
    Autocast: per_sample_weights are cast to float32; no table is, and the result keeps
        the tables' dtype.
    Determinism: the CPU gives the same bits whatever the number of threads. On CUDA the
        weights' gradient adds with atomics, so its last bits vary.
    Concurrency: safe; releases the GIL. Uses torch's threads only when a call gathers
        more than some 256 KiB of rows.
    Cost: one read of each row named; about 5 us a call and 0.5 us a table besides
        (PackedTables has no cost a table).
    Source: Naumov et al., arXiv:1906.00091, section 2.1.1; the jagged layout is the
        one of torch.nn.EmbeddingBag, all tables end to end.
    """
    if per_sample_weights is not None and torch.is_autocast_enabled(
        per_sample_weights.device.type
    ):
        # They may be the bfloat16 that a layer under autocast gave.
        per_sample_weights = per_sample_weights.float()
    if sparse_grad:
        return lookup_with_sparse_gradient(
            weights, indices, offsets, per_sample_weights, default_rows, pooling
        )
    out: Tensor = torch.ops.stepwell.embedding_bag_tables(
        list(weights), indices, offsets, per_sample_weights, default_rows, pooling
    )
    return out


def _fake(
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    default_rows: Tensor | None,
    pooling: str,
) -> Tensor:
    if pooling == "none":
        return weights[0].new_empty((indices.shape[0], weights[0].shape[1]))
    batch = (offsets.shape[0] - 1) // len(weights)
    return weights[0].new_empty((batch, sum(table.shape[1] for table in weights)))


def _fake_backward(
    grad: Tensor,
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    default_rows: Tensor | None,
    pooling: str,
) -> list[Tensor]:
    return [grad.new_empty(table.shape) for table in weights]


def _fake_weights_backward(
    grad: Tensor,
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    default_rows: Tensor | None,
    pooling: str,
) -> Tensor:
    return grad.new_empty((indices.shape[0],))


_RANKS = {
    "grad": 2,
    "weights": 2,
    "indices": 1,
    "offsets": 1,
    "per_sample_weights": 1,
    "default_rows": 1,
}
for _name, _function in (
    (_OP, _fake),
    (f"{_OP}_backward", _fake_backward),
    (f"{_OP}_weights_backward", _fake_weights_backward),
):
    library.register_fake(_name, _function, _RANKS, host=("default_rows",))

# torch's context object takes any attribute, hence Any below.
_Inputs = tuple[list[Tensor], Tensor, Tensor, Tensor | None, Tensor | None, str]
_Gradients = tuple[list[Tensor] | None, None, None, Tensor | None, None, None]


def _setup_context(ctx: Any, inputs: _Inputs, output: Tensor) -> None:
    weights, indices, offsets, per_sample_weights, default_rows, pooling = inputs
    ctx.save_for_backward(indices, offsets, per_sample_weights, default_rows, *weights)
    ctx.pooling = pooling


def _backward(ctx: Any, grad: Tensor) -> _Gradients:
    indices, offsets, entry_weights, default_rows, *weights = ctx.saved_tensors
    # The kernels add up in float32, also for narrower tables.
    grad = grad.float().contiguous()
    weights_grads = torch.ops.stepwell.embedding_bag_tables_backward(
        grad, weights, indices, offsets, entry_weights, default_rows, ctx.pooling
    )
    weights_grads = [
        found.to(table.dtype)
        for found, table in zip(weights_grads, weights, strict=True)
    ]
    entry_grad = None
    if entry_weights is not None and ctx.needs_input_grad[3]:
        entry_grad = torch.ops.stepwell.embedding_bag_tables_weights_backward(
            grad, weights, indices, offsets, default_rows, ctx.pooling
        )
    return weights_grads, None, None, entry_grad, None, None


torch.library.register_autograd(_OP, _backward, setup_context=_setup_context)
