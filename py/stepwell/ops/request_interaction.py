"""The dot interaction of one request: the user's vectors against many candidates."""

from typing import Any

import torch
from torch import Tensor

from stepwell.ops import library
from stepwell.ops.dot_interaction import output_dim

library.load()

_OP = "stepwell::request_interaction"


def request_interaction(user: Tensor, items: Tensor) -> Tensor:
    """Returns `dot_interaction` of each candidate with the vectors of the one user.

    Equal to dot_interaction(user[0] N times, [user[1:] N times, items]), without the
    copies: the dots among the user's vectors are computed once, those with an item's
    vectors once per candidate.

    Args:
        user: float32 or bfloat16 [U, D], contiguous, U >= 1; user[0] is the dense
            vector.
        items: [N, I, D], contiguous, dtype and device of user. N, I and D may be 0.
    Returns:
        [N, D + (U + I) * (U + I - 1) / 2] in that dtype: user[0], then the dots of the
        pairs (1,0) (2,0) (2,1) (3,0) ... of the U + I vectors, the user's first.
        bfloat16 is summed in float32 and rounded once.
    Raises:
        RuntimeError: wrong rank, dtype, size, device or layout; names the argument,
            what was expected and what came.
    Gradients: of both inputs, once; computed in float32 on tiled inputs, so training
        with it saves nothing.
    Autocast: both inputs are cast to bfloat16.
    Determinism: on the CPU the same bits whatever N and the number of threads.
    Concurrency: safe; releases the GIL. Uses torch's threads only when a request has
        more than some million multiply-adds.
    Cost: N * I * (U + I / 2) * D multiply-adds; about 5 us a call besides.
    Source: Naumov et al., arXiv:1906.00091, section 2.1.4. Differences: none in the
        result.
    """
    out: Tensor = torch.ops.stepwell.request_interaction(user, items)
    return out


def _fake(user: Tensor, items: Tensor) -> Tensor:
    num_sparse = user.shape[0] - 1 + items.shape[1]
    return items.new_empty((items.shape[0], output_dim(num_sparse, user.shape[1])))


library.register_fake(_OP, _fake, {"user": 2, "items": 3})
torch.library.register_autocast(_OP, "cpu", torch.bfloat16)
torch.library.register_autocast(_OP, "cuda", torch.bfloat16)


# torch's context object takes any attribute, hence Any.
def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    user, items = ctx.saved_tensors
    num_candidates, num_user = items.shape[0], user.shape[0]
    # float32 until the sum over the candidates is done: bfloat16 is rounded once.
    wide_user, wide_items = user.float(), items.float()
    tiled = wide_user[1:].expand(num_candidates, -1, -1)
    dense_grad, sparse_grad = torch.ops.stepwell.dot_interaction_backward(
        grad.float().contiguous(),
        wide_user[0].expand(num_candidates, -1).contiguous(),
        torch.cat([tiled, wide_items], 1),
    )
    of_user = sparse_grad[:, : num_user - 1].sum(0)
    user_grad = torch.cat([dense_grad.sum(0, keepdim=True), of_user])
    return user_grad.to(user.dtype), sparse_grad[:, num_user - 1 :].to(items.dtype)


torch.library.register_autograd(_OP, _backward, setup_context=_setup_context)
