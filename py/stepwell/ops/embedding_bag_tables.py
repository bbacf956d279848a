"""Embedding lookup and pooling over all tables of a model in one call."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

Pooling = Literal["sum", "mean"]
_OP = "stepwell::embedding_bag_tables"


def embedding_bag_tables(
    weights: Sequence[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None = None,
    pooling: Pooling = "sum",
) -> Tensor:
    """Looks up jagged bags in T tables and returns their pooled rows side by side.

    Bag number t * B + b is indices[offsets[t * B + b] : offsets[t * B + b + 1]], the
    entries of sample b in table t. An index of -1 means the default row, which is all
    zeros: it adds nothing to a sum, counts as an entry of a mean and gets no gradient.
    An empty bag pools to zeros.

    Args:
        weights: T tables, float32 [N_t, D_t], contiguous, one device; D_t >= 1,
            N_t >= 0.
        indices: int32 or int64 [L], each in [-1, N_t - 1], table-major.
        offsets: dtype of indices, [T * B + 1], from 0 to L, never falling.
        per_sample_weights: float32 [L], each entry's factor; all ones when None.
        pooling: "sum", or "mean": the (weighted) sum over the number of entries.
    Returns:
        float32 [B, D_0 + ... + D_{T-1}].
    Raises:
        RuntimeError: wrong rank, dtype, size, device, layout, offset or index; names
            the argument, what was expected and what came, for an index also table and
            position. On CUDA a bad index or offset is printed and traps the kernel,
            as in torch's own embedding: the process has to restart.
    Gradients: of weights (dense, [N_t, D_t] each) and of per_sample_weights, once.
    Determinism: the CPU gives the same bits whatever the number of threads. On CUDA the
        weights' gradient adds with atomics, so its last bits vary.
    Concurrency: safe; releases the GIL. Uses torch's threads only when a call gathers
        more than some 64k floats.
    Cost: one read of each row named; about 5 us a call besides.
    Source: Naumov et al., arXiv:1906.00091, section 2.1.1; the jagged layout is the
        one of torch.nn.EmbeddingBag, all tables end to end.
    """
    out: Tensor = torch.ops.stepwell.embedding_bag_tables(
        list(weights), indices, offsets, per_sample_weights, pooling
    )
    return out


def _fake(
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    pooling: str,
) -> Tensor:
    batch = (offsets.shape[0] - 1) // len(weights)
    return weights[0].new_empty((batch, sum(table.shape[1] for table in weights)))


def _fake_backward(
    grad: Tensor,
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    pooling: str,
) -> list[Tensor]:
    return [table.new_empty(table.shape) for table in weights]


def _fake_weights_backward(
    grad: Tensor,
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    pooling: str,
) -> Tensor:
    return grad.new_empty((indices.shape[0],))


torch.library.register_fake(_OP, _fake)
torch.library.register_fake(f"{_OP}_backward", _fake_backward)
torch.library.register_fake(f"{_OP}_weights_backward", _fake_weights_backward)

# torch's context object takes any attribute, hence Any below.
_Inputs = tuple[list[Tensor], Tensor, Tensor, Tensor | None, str]


def _setup_context(ctx: Any, inputs: _Inputs, output: Tensor) -> None:
    weights, indices, offsets, per_sample_weights, pooling = inputs
    entry_weights = [] if per_sample_weights is None else [per_sample_weights]
    ctx.save_for_backward(indices, offsets, *entry_weights, *weights)
    ctx.pooling = pooling
    ctx.num_tables = len(weights)


def _backward(
    ctx: Any, grad: Tensor
) -> tuple[list[Tensor] | None, None, None, Tensor | None, None]:
    num_tables: int = ctx.num_tables
    indices, offsets, *rest = ctx.saved_tensors
    weights = rest[-num_tables:]
    entry_weights = rest[0] if len(rest) > num_tables else None
    grad = grad.contiguous()
    weights_grads = torch.ops.stepwell.embedding_bag_tables_backward(
        grad, weights, indices, offsets, entry_weights, ctx.pooling
    )
    entry_grad = None
    if entry_weights is not None and ctx.needs_input_grad[3]:
        entry_grad = torch.ops.stepwell.embedding_bag_tables_weights_backward(
            grad, weights, indices, offsets, ctx.pooling
        )
    return weights_grads, None, None, entry_grad, None


torch.library.register_autograd(_OP, _backward, setup_context=_setup_context)
