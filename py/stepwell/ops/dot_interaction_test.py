"""dot_interaction against its definition: values, gradients, errors, contracts."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.dot_interaction import dot_interaction, output_dim


def reference(dense: Tensor, sparse: Tensor) -> Tensor:
    """The definition with the [B, F + 1, F + 1] product that the op does without."""
    vectors = torch.cat([dense[:, None], sparse], 1)
    products = vectors @ vectors.mT
    i, j = torch.tril_indices(vectors.shape[1], vectors.shape[1], -1)
    return torch.cat([dense, products[:, i, j]], 1)


def random_vectors(batch: int, num_sparse: int, dim: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(batch + 31 * num_sparse + 977 * dim)
    dense = torch.randn(batch, dim, generator=random)
    return dense, torch.randn(batch, num_sparse, dim, generator=random)


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    batch=st.integers(0, 5), num_sparse=st.integers(0, 40), dim=st.integers(0, 70)
)
def test_value_and_gradients_equal_the_definition_in_float64(
    batch: int, num_sparse: int, dim: int
) -> None:
    leaves = [x.requires_grad_() for x in random_vectors(batch, num_sparse, dim)]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    got, expected = dot_interaction(*leaves), reference(*wide)
    assert got.shape == (batch, output_dim(num_sparse, dim))
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=2e-5)
    grad = torch.randn_like(got)
    got_grads = torch.autograd.grad(got, leaves, grad)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=2e-5)


def test_keeps_the_contracts_of_a_torch_operator() -> None:
    leaves = tuple(x.requires_grad_() for x in random_vectors(3, 4, 8))
    torch.library.opcheck(torch.ops.stepwell.dot_interaction.default, leaves)


def test_backward_operator_keeps_the_contracts_too() -> None:
    dense, sparse = random_vectors(3, 4, 8)
    grad = torch.randn(3, output_dim(4, 8))
    torch.library.opcheck(
        torch.ops.stepwell.dot_interaction_backward.default, (grad, dense, sparse)
    )


def test_a_sample_gives_the_same_bits_alone_and_in_a_batch() -> None:
    dense, sparse = random_vectors(700, 26, 64)
    together = dot_interaction(dense, sparse)
    alone = dot_interaction(dense[333:334], sparse[333:334])
    assert torch.equal(together[333:334], alone)


@pytest.mark.parametrize(
    ("dense", "sparse", "message"),
    [
        ((3, 4), (3, 2, 5), "sparse must have size 4 in dimension 2, got 5"),
        ((3, 4), (2, 2, 4), "sparse must have size 3 in dimension 0, got 2"),
        ((3,), (3, 2, 4), "dense must have 2 dimensions, got 1"),
        ((3, 4), (3, 4), "sparse must have 3 dimensions, got 2"),
    ],
)
def test_wrong_shapes_are_named(
    dense: tuple[int, ...], sparse: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=f"dot_interaction: {message}"):
        dot_interaction(torch.zeros(dense), torch.zeros(sparse))


def test_wrong_dtype_and_layout_are_named() -> None:
    dense, sparse = random_vectors(3, 2, 4)
    with pytest.raises(RuntimeError, match="sparse must be bfloat16 like dense, got"):
        dot_interaction(dense.bfloat16(), sparse)
    with pytest.raises(RuntimeError, match="sparse must be float32 like dense, got"):
        dot_interaction(dense, sparse.double())
    with pytest.raises(RuntimeError, match="dense must be float32 or bfloat16, got"):
        dot_interaction(dense.double(), sparse.double())
    with pytest.raises(RuntimeError, match="sparse must be contiguous"):
        dot_interaction(dense, sparse.mT.contiguous().mT)


def test_more_vectors_than_columns_can_count_are_refused() -> None:
    with pytest.raises(RuntimeError, match="sparse must have at most 1073741824 vec"):
        dot_interaction(torch.zeros(0, 0), torch.zeros(0, 1 << 40, 0))


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    batch=st.integers(0, 3), num_sparse=st.integers(0, 35), dim=st.integers(0, 67)
)
def test_bfloat16_is_the_exact_result_rounded_once(
    batch: int, num_sparse: int, dim: int
) -> None:
    leaves = [x.bfloat16() for x in random_vectors(batch, num_sparse, dim)]
    leaves = [x.requires_grad_() for x in leaves]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    got, expected = dot_interaction(*leaves), reference(*wide)
    assert got.dtype == torch.bfloat16
    # 8 bits of mantissa: half a unit in the last is at most 2**-8 of the value.
    torch.testing.assert_close(got.double(), expected, rtol=2**-7.9, atol=2e-5)
    grad = torch.randn(got.shape).bfloat16()
    got_grads = torch.autograd.grad(got, leaves, grad)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2**-7.9, atol=2e-5)


def test_autocast_computes_in_bfloat16_and_gives_gradients_in_float32() -> None:
    dense, sparse = (x.requires_grad_() for x in random_vectors(3, 4, 8))
    with torch.autocast("cpu", torch.bfloat16):
        out = dot_interaction(dense, sparse)
    assert torch.equal(out, dot_interaction(dense.bfloat16(), sparse.bfloat16()))
    grads = torch.autograd.grad(out.float().sum(), (dense, sparse))
    assert all(grad.dtype == torch.float32 for grad in grads)


def test_compiles_without_a_graph_break() -> None:
    dense, sparse = random_vectors(3, 4, 8)
    graph = torch.compile(dot_interaction, backend="eager", fullgraph=True)
    assert torch.equal(graph(dense, sparse), dot_interaction(dense, sparse))
