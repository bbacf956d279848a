"""The interactions on CUDA against their definition in float64.

How to run it on a GPU machine: see embedding_test.py in this folder.
"""

import pytest
import torch
from torch import Tensor

from gpu.device import (
    DEVICE,
    TOLERANCE,
    assert_close,
    moved,
    needs_cuda_ops,
    on_device,
    random_floats,
)
from stepwell.ops.cross_network import cross_network
from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.request_interaction import request_interaction

pytestmark = needs_cuda_ops

DTYPES = [torch.float32, torch.bfloat16]


def reference(dense: Tensor, sparse: Tensor) -> Tensor:
    vectors = torch.cat([dense[:, None], sparse], 1)
    products = vectors @ vectors.mT
    i, j = torch.tril_indices(vectors.shape[1], vectors.shape[1], -1)
    return torch.cat([dense, products[:, i, j]], 1)


# Tensor cores take multiples of 16 up to 64 vectors: 1 to 4 tiles of 16, full and not,
# and what falls to the general kernel on each side.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "num_sparse", "dim"),
    [
        (0, 3, 16),
        (1, 0, 16),
        (5, 1, 1),
        (9, 15, 32),
        (7, 26, 128),
        (6, 31, 64),
        (4, 32, 48),
        (3, 63, 128),
        (2, 64, 16),
        (3, 26, 24),
        (2, 5, 63),
        (1, 16, 1024),
    ],
)
def test_dot_interaction_and_its_gradients_equal_the_definition(
    dtype: torch.dtype, batch: int, num_sparse: int, dim: int
) -> None:
    dense = random_floats(batch, dim, seed=1, dtype=dtype).requires_grad_()
    sparse = random_floats(batch, num_sparse, dim, seed=2, dtype=dtype)
    sparse.requires_grad_()
    wide = [leaf.detach().double().requires_grad_() for leaf in (dense, sparse)]
    expected = reference(*wide)
    near = on_device(dense, sparse)
    got = dot_interaction(*near)
    assert got.dtype == dtype
    scale = max(dim, 16) ** 0.5
    assert_close(got / scale, expected / scale, TOLERANCE[dtype])
    direction = random_floats(*expected.shape, dtype=dtype)
    got_grads = torch.autograd.grad(got, near, direction.to(DEVICE))
    expected_grads = torch.autograd.grad(expected, wide, direction.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        assert_close(ours / 4, theirs / 4, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_start_at_any_element_are_written_whole(dtype: torch.dtype) -> None:
    # An odd number of columns puts the rows at every alignment to 16 bytes.
    dense, sparse = random_floats(33, 16, dtype=dtype), random_floats(33, 2, 16)
    sparse = sparse.to(dtype)
    got = dot_interaction(moved(dense), moved(sparse))
    expected = reference(dense.double(), sparse.double())
    assert_close(got / 4, expected / 4, TOLERANCE[dtype])


def test_inputs_at_odd_addresses_take_the_general_kernel() -> None:
    storage = random_floats(1 + 5 * 16 + 5 * 3 * 16, dtype=torch.bfloat16).to(DEVICE)
    dense = storage[1 : 1 + 5 * 16].view(5, 16)
    sparse = storage[1 + 5 * 16 :].view(5, 3, 16)
    expected = reference(dense.cpu().double(), sparse.cpu().double())
    got = dot_interaction(dense, sparse)
    assert_close(got / 4, expected / 4, TOLERANCE[torch.bfloat16])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_too_large_for_shared_memory_is_read_where_it_is(
    dtype: torch.dtype,
) -> None:
    dense = random_floats(1, 20_000, dtype=dtype)
    sparse = random_floats(1, 3, 20_000, dtype=dtype)
    got = dot_interaction(moved(dense), moved(sparse))
    expected = reference(dense.double(), sparse.double())
    assert_close(got / 150, expected / 150, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("num_user", "num_items", "candidates", "dim"),
    [(1, 0, 3, 16), (1, 1, 0, 16), (13, 14, 9, 64), (40, 24, 3, 32), (3, 2, 5, 7)],
)
def test_request_interaction_equals_the_tiled_dot_interaction(
    dtype: torch.dtype, num_user: int, num_items: int, candidates: int, dim: int
) -> None:
    user = random_floats(num_user, dim, seed=1, dtype=dtype)
    items = random_floats(candidates, num_items, dim, seed=2, dtype=dtype)
    tiled = user.double().expand(candidates, num_user, dim)
    expected = reference(tiled[:, 0], torch.cat([tiled[:, 1:], items.double()], 1))
    got = request_interaction(moved(user), moved(items))
    scale = max(dim, 16) ** 0.5
    assert_close(got / scale, expected / scale, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "num_layers", "width", "rank"),
    [(0, 2, 8, 4), (3, 0, 8, 4), (1, 1, 1, 1), (33, 3, 40, 7), (5, 2, 27, 16)],
)
def test_cross_network_equals_the_definition(
    dtype: torch.dtype, batch: int, num_layers: int, width: int, rank: int
) -> None:
    x = random_floats(batch, width, seed=1, dtype=dtype)
    down = random_floats(num_layers, width, rank, seed=2, dtype=dtype) / 8
    up = random_floats(num_layers, rank, width, seed=3, dtype=dtype) / 8
    bias = random_floats(num_layers, width, seed=4, dtype=dtype)
    expected = x.double()
    for layer in range(num_layers):
        product = expected @ down[layer].double() @ up[layer].double()
        expected = x.double() * (product + bias[layer].double()) + expected
    got = cross_network(moved(x), moved(down), moved(up), moved(bias))
    assert got.dtype == dtype
    # Every layer multiplies, and bfloat16 products are rounded between layers.
    scale = max(1.0, float(expected.abs().max()) if expected.numel() else 1.0)
    assert_close(got / scale, expected / scale, TOLERANCE[dtype])
