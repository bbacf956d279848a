"""request_interaction against dot_interaction on the tiled input, and its contracts."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.dot_interaction import dot_interaction, output_dim
from stepwell.ops.request_interaction import request_interaction


def tiled(user: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """The dense and the sparse vectors that dot_interaction takes for the same."""
    num_candidates = items.shape[0]
    dense = user[0].expand(num_candidates, -1).contiguous()
    of_user = user[1:].expand(num_candidates, -1, -1)
    return dense, torch.cat([of_user, items], 1)


def reference(user: Tensor, items: Tensor) -> Tensor:
    """The definition, in any dtype."""
    dense, sparse = tiled(user, items)
    vectors = torch.cat([dense[:, None], sparse], 1)
    i, j = torch.tril_indices(vectors.shape[1], vectors.shape[1], -1)
    return torch.cat([dense, (vectors @ vectors.mT)[:, i, j]], 1)


def random_request(
    num_user: int, num_items: int, num_candidates: int, dim: int
) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(num_user + 31 * num_items + 977 * dim)
    user = torch.randn(num_user, dim, generator=random)
    return user, torch.randn(num_candidates, num_items, dim, generator=random)


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    num_user=st.integers(1, 20),
    num_items=st.integers(0, 20),
    num_candidates=st.integers(0, 4),
    dim=st.integers(0, 70),
)
def test_value_and_gradients_equal_the_definition_in_float64(
    num_user: int, num_items: int, num_candidates: int, dim: int
) -> None:
    request = random_request(num_user, num_items, num_candidates, dim)
    leaves = [x.requires_grad_() for x in request]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    got, expected = request_interaction(*leaves), reference(*wide)
    width = output_dim(num_user - 1 + num_items, dim)
    assert got.shape == (num_candidates, width)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=2e-5)
    grad = torch.randn_like(got)
    got_grads = torch.autograd.grad(got, leaves, grad)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gives_the_bits_of_dot_interaction_on_the_tiled_input(
    dtype: torch.dtype,
) -> None:
    user, items = (x.to(dtype) for x in random_request(13, 14, 256, 64))
    got = request_interaction(user, items)
    assert torch.equal(got, dot_interaction(*tiled(user, items)))


def test_bfloat16_gradients_are_rounded_once() -> None:
    user, items = (x.bfloat16() for x in random_request(5, 6, 300, 20))
    leaves = [user.requires_grad_(), items.requires_grad_()]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    expected = reference(*wide)
    grad = torch.randn(expected.shape).bfloat16()
    got_grads = torch.autograd.grad(request_interaction(*leaves), leaves, grad)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.double(), theirs, rtol=2**-7.9, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_contracts_of_a_torch_operator(dtype: torch.dtype) -> None:
    leaves = tuple(x.to(dtype).requires_grad_() for x in random_request(3, 4, 5, 8))
    torch.library.opcheck(torch.ops.stepwell.request_interaction.default, leaves)


def test_a_candidate_gives_the_same_bits_alone_and_among_others() -> None:
    user, items = random_request(13, 14, 700, 64)
    together = request_interaction(user, items)
    assert torch.equal(together[333:334], request_interaction(user, items[333:334]))


@pytest.mark.parametrize(
    ("user", "items", "message"),
    [
        ((2, 4), (3, 2, 5), "items must have size 4 in dimension 2, got 5"),
        ((4,), (3, 2, 4), "user must have 2 dimensions, got 1"),
        ((2, 4), (2, 4), "items must have 3 dimensions, got 2"),
        ((0, 4), (3, 2, 4), "user must have its dense vector at least, got size 0"),
    ],
)
def test_wrong_shapes_are_named(
    user: tuple[int, ...], items: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=f"request_interaction: {message}"):
        request_interaction(torch.zeros(user), torch.zeros(items))


def test_wrong_dtype_and_layout_are_named() -> None:
    user, items = random_request(2, 3, 4, 8)
    with pytest.raises(RuntimeError, match="user must be float32 or bfloat16, got flo"):
        request_interaction(user.double(), items.double())
    with pytest.raises(RuntimeError, match="items must be float32 like user, got bflo"):
        request_interaction(user, items.bfloat16())
    with pytest.raises(RuntimeError, match="user must be contiguous"):
        request_interaction(user.T.contiguous().T, items)


def test_autocast_computes_in_bfloat16() -> None:
    user, items = random_request(3, 4, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = request_interaction(user, items)
    expected = request_interaction(user.bfloat16(), items.bfloat16())
    assert torch.equal(out, expected)


def test_compiles_and_exports_without_a_graph_break() -> None:
    user, items = random_request(3, 4, 5, 8)
    expected = request_interaction(user, items)
    graph = torch.compile(request_interaction, backend="aot_eager", fullgraph=True)
    assert torch.equal(graph(user, items), expected)

    class Module(torch.nn.Module):
        def forward(self, user: Tensor, items: Tensor) -> Tensor:
            return request_interaction(user, items)

    candidates = torch.export.Dim("candidates")
    exported = torch.export.export(
        Module(), (user, items), dynamic_shapes=({}, {0: candidates})
    )
    assert torch.equal(exported.module()(user, items[:3]), expected[:3])
