"""cross_network against its formula: values, gradients, errors, contracts."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from stepwell.ops.cross_network import cross_network

Arguments = tuple[Tensor, Tensor, Tensor, Tensor]


def reference(x: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
    """The formula, a layer at a time."""
    now = x
    for layer in range(len(down)):
        now = x * (now @ down[layer] @ up[layer] + bias[layer]) + now
    return now


def arguments(batch: int, layers: int, width: int, rank: int) -> Arguments:
    random = torch.Generator().manual_seed(batch + 31 * layers + 977 * width + rank)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=random)

    return (
        normal(batch, width),
        normal(layers, width, rank) * 0.3 / max(width, 1) ** 0.5,
        normal(layers, rank, width) * 0.3,
        normal(layers, width) * 0.1,
    )


class Cross(nn.Module):
    """What torch.export takes."""

    def forward(self, x: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
        return cross_network(x, down, up, bias)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    batch=st.integers(0, 9),
    layers=st.integers(0, 4),
    width=st.integers(0, 80),
    rank=st.integers(0, 70),
)
def test_value_and_gradients_equal_the_formula_in_float64(
    batch: int, layers: int, width: int, rank: int
) -> None:
    leaves = [x.requires_grad_() for x in arguments(batch, layers, width, rank)]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    got, expected = cross_network(*leaves), reference(*wide)
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)
    grad = torch.randn_like(got)
    got_grads = torch.autograd.grad(got, leaves, grad)
    expected_grads = torch.autograd.grad(
        expected, wide, grad.double(), materialize_grads=True
    )
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sizes", [(7, 2, 300, 5), (300, 3, 33, 20)])
def test_gradients_of_more_than_one_task_equal_the_formula(
    sizes: tuple[int, int, int, int],
) -> None:
    leaves = [x.requires_grad_() for x in arguments(*sizes)]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    grad = torch.randn(sizes[0], sizes[2])
    got = torch.autograd.grad(cross_network(*leaves), leaves, grad)
    expected = torch.autograd.grad(reference(*wide), wide, grad.double())
    # With gradients of gradients the formula runs in the place of the kernel.
    formula = torch.autograd.grad(
        cross_network(*leaves), leaves, grad, create_graph=True
    )
    for ours, theirs, alike in zip(got, expected, formula, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(ours, alike, rtol=1e-3, atol=1e-3)


def test_gradients_have_the_same_bits_with_any_number_of_threads() -> None:
    x, *weights = arguments(700, 3, 600, 40)
    grad = torch.randn(700, 600)
    backward = torch.ops.stepwell.cross_network_backward
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = backward(grad, x, *weights)
        torch.set_num_threads(2)
        two = backward(grad, x, *weights)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_second_gradients_equal_the_formula() -> None:
    leaves = [x.requires_grad_() for x in arguments(3, 2, 7, 4)]
    wide = [x.detach().double().requires_grad_() for x in leaves]

    def second(out: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
        total = torch.stack([g.square().sum() for g in first]).sum()
        return torch.autograd.grad(total, inputs)

    got = second(cross_network(*leaves), leaves)
    for ours, theirs in zip(got, second(reference(*wide), wide), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-2)


def test_bfloat16_is_computed_in_float32() -> None:
    narrow = [x.bfloat16() for x in arguments(40, 3, 50, 8)]
    got = cross_network(*narrow)
    exact = reference(*(x.double() for x in narrow))
    # One rounding at the end and none on the way.
    torch.testing.assert_close(got.double(), exact, rtol=2**-8, atol=1e-6)


def test_bfloat16_gradients_keep_their_dtype_and_direction() -> None:
    leaves = [x.bfloat16().requires_grad_() for x in arguments(40, 3, 50, 8)]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    got = torch.autograd.grad(cross_network(*leaves).float().sum(), leaves)
    expected = torch.autograd.grad(reference(*wide).sum(), wide)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        error = (ours.double() - theirs).norm() / theirs.norm()
        assert error < 0.02


def test_autocast_goes_to_bfloat16() -> None:
    given = arguments(4, 2, 12, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = cross_network(*given)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), cross_network(*given), rtol=0.1, atol=0.1)


def test_keeps_the_contracts_of_a_torch_operator() -> None:
    leaves = tuple(x.requires_grad_() for x in arguments(3, 2, 9, 4))
    torch.library.opcheck(torch.ops.stepwell.cross_network.default, leaves)


def test_backward_operator_keeps_the_contracts_too() -> None:
    given = arguments(3, 2, 9, 4)
    operator = torch.ops.stepwell.cross_network_backward.default
    torch.library.opcheck(operator, (torch.randn(3, 9), *given))


def test_backward_names_what_is_wrong_with_the_gradient() -> None:
    backward = torch.ops.stepwell.cross_network_backward
    given = arguments(3, 2, 4, 2)
    with pytest.raises(RuntimeError, match="backward: grad must have size 4 in dim"):
        backward(torch.zeros(3, 5), *given)
    with pytest.raises(RuntimeError, match="backward: grad must be float32 as x is"):
        backward(torch.zeros(3, 4).double(), *given)
    with pytest.raises(RuntimeError, match="backward: grad must be contiguous"):
        backward(torch.zeros(4, 3).mT, *given)


def test_compiles_without_a_graph_break() -> None:
    given = arguments(3, 2, 9, 4)
    graph = torch.compile(cross_network, backend="eager", fullgraph=True)
    assert torch.equal(graph(*given), cross_network(*given))


def test_exports_for_any_batch() -> None:
    batch = {0: torch.export.Dim("B", min=1, max=4096)}
    shapes = (batch, None, None, None)
    _, *weights = arguments(3, 2, 9, 4)
    x = torch.randn(5, 9)
    exported = torch.export.export(Cross(), (x, *weights), dynamic_shapes=shapes)
    more = torch.randn(77, 9)
    expected = cross_network(more, *weights)
    assert torch.equal(exported.module()(more, *weights), expected)


def test_a_sample_gives_the_same_bits_alone_and_in_a_batch() -> None:
    x, *weights = arguments(900, 3, 130, 20)
    together = cross_network(x, *weights)
    assert torch.equal(together[333:334], cross_network(x[333:334], *weights))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (((3,), (2, 4, 1), (2, 1, 4), (2, 4)), "x must have 2 dimensions, got 1"),
        (((3, 4), (4, 1), (2, 1, 4), (2, 4)), "down must have 3 dimensions, got 2"),
        (
            ((3, 4), (2, 5, 1), (2, 1, 4), (2, 4)),
            "down must have size 4 in dim",
        ),
        (((3, 4), (2, 4, 1), (3, 1, 4), (2, 4)), "up must have size 2 in dim"),
        (((3, 4), (2, 4, 1), (2, 2, 4), (2, 4)), "up must have size 1 in dimension 1"),
        (((3, 4), (2, 4, 1), (2, 1, 5), (2, 4)), "up must have size 4 in dimension 2"),
        (
            ((3, 4), (2, 4, 1), (2, 1, 4), (1, 4)),
            "bias must have size 2 in dim",
        ),
        (
            ((3, 4), (2, 4, 1), (2, 1, 4), (2, 3)),
            "bias must have size 4 in dim",
        ),
    ],
)
def test_wrong_shapes_are_named(
    sizes: tuple[tuple[int, ...], ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=f"cross_network: {message}"):
        cross_network(*(torch.zeros(size) for size in sizes))


def test_wrong_dtype_and_layout_are_named() -> None:
    x, down, up, bias = arguments(3, 2, 4, 2)
    with pytest.raises(RuntimeError, match="x must be float32 or bfloat16, got"):
        cross_network(x.half(), down, up, bias)
    with pytest.raises(RuntimeError, match="up must be float32 as x is, got b"):
        cross_network(x, down, up.bfloat16(), bias)
    with pytest.raises(RuntimeError, match="down must be contiguous"):
        cross_network(x, down.mT.contiguous().mT, up, bias)
