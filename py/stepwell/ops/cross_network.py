"""DCN-v2's cross network with low-rank layers, all layers in one call."""

from typing import Any

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

_OP = "stepwell::cross_network"
_Gradients = tuple[Tensor, Tensor, Tensor, Tensor]


def cross_network(x: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
    """Returns x_L, where x_0 = x and x_{l+1} = x * (x_l down_l up_l + bias_l) + x_l.

    Layer l makes every product of an input with a feature of degree l + 1. A block of
    samples goes through all layers before the next, so that x_l stays in the cache.

    Args:
        x: float32 or bfloat16 [B, W], contiguous; so are the weights, in the dtype and
            on the device of x. Any size may be 0.
        down: [L, W, R], to rank R.
        up: [L, R, W], back to W.
        bias: [L, W].
    Returns:
        [B, W] in the dtype of x. bfloat16 is computed in float32 on the CPU.
    Raises:
        RuntimeError: wrong rank, dtype, size, device or layout; names the argument,
            what was expected and what came.
    Gradients: of all four, any number of times; the layers run again for them, so that
        nothing but the arguments is kept. One more call on the CPU; torch operators on
        other devices and where gradients have gradients. Under autocast everything is
        bfloat16.
    Determinism: the same bits whatever the batch and the number of threads.
    Concurrency: safe; releases the GIL. Uses torch's threads only when a batch has more
        than some million multiply-adds.
    Cost: 2 * B * L * W * R multiply-adds; about 5 us a call besides.
    Source: Wang et al., arXiv:2008.13535, eq. 3, as x_l down_l up_l for U (V^T x_l).
        Differences: none.
    """
    out: Tensor = torch.ops.stepwell.cross_network(x, down, up, bias)
    return out


def _fake(x: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _fake_backward(
    grad: Tensor, x: Tensor, down: Tensor, up: Tensor, bias: Tensor
) -> _Gradients:
    return (
        x.new_empty(x.shape),
        down.new_empty(down.shape),
        up.new_empty(up.shape),
        bias.new_empty(bias.shape),
    )


library.register_fake(_OP, _fake, {"x": 2, "down": 3, "up": 3, "bias": 2})
library.register_fake(
    f"{_OP}_backward",
    _fake_backward,
    {"grad": 2, "x": 2, "down": 3, "up": 3, "bias": 2},
)
for _device in ("cpu", "cuda"):
    torch.library.register_autocast(_OP, _device, torch.bfloat16)


# torch's context object takes any attribute, hence Any.
def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> _Gradients:
    arguments = ctx.saved_tensors
    if torch.is_grad_enabled() or grad.device.type != "cpu":
        return _gradients(grad, *arguments)
    fused: _Gradients = torch.ops.stepwell.cross_network_backward(
        grad.contiguous(), *arguments
    )
    return fused


def _gradients(
    grad: Tensor, x: Tensor, down: Tensor, up: Tensor, bias: Tensor
) -> _Gradients:
    """The formula: products in the dtype of x, sums over layers in float32."""
    dtype, num_layers = x.dtype, down.shape[0]
    first = x.float()
    inputs, hidden, crossed = [first], [], []
    for layer in range(num_layers):
        hidden.append(inputs[-1].to(dtype) @ down[layer])
        crossed.append(torch.addmm(bias[layer], hidden[-1], up[layer]).float())
        if layer + 1 < num_layers:
            inputs.append(torch.addcmul(inputs[-1], first, crossed[-1]))
    down_grads, up_grads, bias_grads = [], [], []
    along, through_first = grad.float(), torch.zeros_like(first)
    for layer in reversed(range(num_layers)):
        wide = along * first
        at_crossed = wide.to(dtype)
        at_hidden = at_crossed @ up[layer].mT
        bias_grads.append(wide.sum(0))
        up_grads.append(hidden[layer].mT @ at_crossed)
        down_grads.append(inputs[layer].to(dtype).mT @ at_hidden)
        through_first = torch.addcmul(through_first, along, crossed[layer])
        along = along + at_hidden @ down[layer].mT
    return (
        (along + through_first).to(dtype),
        _layers(down_grads, down),
        _layers(up_grads, up),
        _layers(bias_grads, bias),
    )


def _layers(last_first: list[Tensor], weights: Tensor) -> Tensor:
    if not last_first:
        return torch.zeros_like(weights)
    return torch.stack(last_first[::-1]).to(weights.dtype)


torch.library.register_autograd(_OP, _backward, setup_context=_setup_context)
