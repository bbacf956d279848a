"""What trains tables on CUDA: gradients of entries, row-wise Adagrad.

How to run it on a GPU machine: see embedding_test.py in this folder.
"""

import pytest
import torch
from torch import Tensor

from gpu.device import (
    DEVICE,
    assert_close,
    moved,
    needs_cuda_ops,
    on_device,
    random_floats,
)
from stepwell.ops.embedding_bag_tables import Pooling, embedding_bag_tables
from stepwell.ops.row_wise_adagrad import row_wise_adagrad_

pytestmark = needs_cuda_ops


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("pooling", ["sum", "mean", "none"])
@pytest.mark.parametrize("batch", [1, 8])
def test_a_sparse_gradient_is_the_dense_one(
    index_dtype: torch.dtype, pooling: Pooling, batch: int
) -> None:
    dims = [5, 5, 5] if pooling == "none" else [1, 40, 7]
    tables = [random_floats(20, dim, seed=dim).requires_grad_() for dim in dims]
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(0, 6, (3 * batch,), generator=random)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    indices = torch.randint(-1, 20, (int(offsets[-1]),), generator=random)
    grads = []
    for sparse in (True, False):
        near = on_device(*tables)
        out = embedding_bag_tables(
            near,
            moved(indices.to(index_dtype)),
            moved(offsets.to(index_dtype)),
            moved(random_floats(len(indices), seed=3)),
            pooling=pooling,
            default_rows=torch.tensor([4, -1, 0]),
            sparse_grad=sparse,
        )
        direction = random_floats(*out.shape, seed=7).to(DEVICE)
        grads.append(torch.autograd.grad(out, near, direction))
    for sparse_grad, dense_grad in zip(*grads, strict=True):
        assert sparse_grad.is_sparse
        assert_close(sparse_grad.to_dense(), dense_grad.cpu().double(), 1e-5)


def adagrad_reference(
    table: Tensor, moments: Tensor, row_ids: Tensor, grads: Tensor
) -> tuple[Tensor, Tensor]:
    table, moments = table.double(), moments.double()
    sums = torch.zeros_like(table).index_add(0, row_ids.long(), grads.double())
    moments = moments + sums.square().mean(1)
    return table - 0.1 / (moments.sqrt() + 1e-8)[:, None] * sums, moments


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize(("entries", "dim"), [(0, 4), (1, 1), (90, 33), (300, 64)])
def test_row_wise_adagrad_steps_each_row_once(
    index_dtype: torch.dtype, entries: int, dim: int
) -> None:
    table, moments = random_floats(50, dim), random_floats(50, seed=1).square()
    random = torch.Generator().manual_seed(entries)
    row_ids = torch.randint(0, 50, (entries,), generator=random).to(index_dtype)
    grads = random_floats(entries, dim, seed=2)
    expected = adagrad_reference(table, moments, row_ids, grads)
    near_table, near_moments = on_device(table, moments)
    row_wise_adagrad_(
        near_table, near_moments, moved(row_ids), moved(grads), lr=0.1, eps=1e-8
    )
    assert_close(near_table, expected[0], 1e-5)
    assert_close(near_moments, expected[1], 1e-5)
