"""DLRM's pairwise feature interaction, fused with the concatenation before it."""

from typing import Any

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

_OP = "stepwell::dot_interaction"


def output_dim(num_sparse: int, dim: int) -> int:
    """Returns the columns that `dot_interaction` gives: dim + (F + 1) * F / 2."""
    return dim + (num_sparse + 1) * num_sparse // 2


def dot_interaction(dense: Tensor, sparse: Tensor) -> Tensor:
    """Returns the dense vector followed by the dots of all pairs of vectors.

    A sample has F + 1 vectors: number 0 is its dense vector, number f its sparse vector
    f - 1. The dots come in the order (1,0) (2,0) (2,1) (3,0) ... of the lower triangle
    without the diagonal. No [B, F, F] tensor is made.

    Args:
        dense: float32 or bfloat16 [B, D], contiguous.
        sparse: [B, F, D], contiguous, dtype and device of dense. B, F and D may be 0.
    Returns:
        [B, D + (F + 1) * F / 2] in that dtype. bfloat16 is summed in float32 and
        rounded once; where the processor multiplies pairs of bfloat16 (AVX512-BF16),
        subnormal elements count as zero.
    Raises:
        RuntimeError: wrong rank, dtype, size, device or layout; names the argument,
            what was expected and what came.
    Gradients: of both inputs, once, in their dtype.
    Autocast: both inputs are cast to bfloat16.
    Determinism: the same bits whatever the batch and the number of threads.
    Concurrency: safe; releases the GIL. Uses torch's threads only when a batch has more
        than some million multiply-adds.
    Cost: B * F * (F + 1) / 2 * D multiply-adds; about 5 us a call besides.
    Source: Naumov et al., arXiv:1906.00091, section 2.1.4. Differences: none.
    """
    out: Tensor = torch.ops.stepwell.dot_interaction(dense, sparse)
    return out


def _fake(dense: Tensor, sparse: Tensor) -> Tensor:
    return dense.new_empty(
        (dense.shape[0], output_dim(sparse.shape[1], dense.shape[1]))
    )


def _fake_backward(
    grad: Tensor, dense: Tensor, sparse: Tensor
) -> tuple[Tensor, Tensor]:
    return dense.new_empty(dense.shape), sparse.new_empty(sparse.shape)


library.register_fake(_OP, _fake, {"dense": 2, "sparse": 3})
library.register_fake(
    f"{_OP}_backward", _fake_backward, {"grad": 2, "dense": 2, "sparse": 3}
)
torch.library.register_autocast(_OP, "cpu", torch.bfloat16)
torch.library.register_autocast(_OP, "cuda", torch.bfloat16)


# torch's context object takes any attribute, hence Any.
def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    dense, sparse = ctx.saved_tensors
    dense_grad, sparse_grad = torch.ops.stepwell.dot_interaction_backward(
        grad.contiguous(), dense, sparse
    )
    return dense_grad, sparse_grad


torch.library.register_autograd(_OP, _backward, setup_context=_setup_context)
