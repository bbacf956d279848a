"""More than 2^31 elements: the last are found, in memory that is hardly touched."""

import torch

from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.embedding_bag_tables import embedding_bag_tables
from stepwell.ops.huge_pages import huge_page_bytes
from stepwell.ops.packed_tables import PackedTables

_ROWS, _DIM = 2**25 + 1, 64


def test_a_lookup_reaches_the_last_row() -> None:
    table = torch.empty(_ROWS, _DIM)
    table[-1] = 3.0
    lookups = (torch.tensor([_ROWS - 1, _ROWS - 1]), torch.tensor([0, 2]))
    assert embedding_bag_tables([table], *lookups).eq(6.0).all()


def test_a_sparse_gradient_names_the_last_row() -> None:
    table = torch.empty(_ROWS, _DIM, requires_grad=True)
    lookups = (torch.tensor([_ROWS - 1]), torch.tensor([0, 1]))
    out = embedding_bag_tables([table], *lookups, sparse_grad=True)
    (grad,) = torch.autograd.grad(out.sum(), [table])
    assert grad._indices().tolist() == [[_ROWS - 1]]


def test_a_packed_lookup_reaches_the_last_row() -> None:
    rows = torch.empty(_ROWS * _DIM * 4, dtype=torch.uint8)
    rows.view(torch.float32)[-_DIM:] = 3.0
    packed = PackedTables(rows, torch.tensor([[0, _ROWS, _DIM, 0, -1]]))
    out = packed(torch.tensor([_ROWS - 1]), torch.tensor([0, 1]))
    assert out.eq(3.0).all()


def test_an_interaction_reaches_the_last_sample() -> None:
    batch, num_sparse, dim = 129, 32, 2**19
    dense = torch.zeros(batch, dim)
    # In huge pages all that is only read is one page of zeros, found at once.
    storage = huge_page_bytes(batch * num_sparse * dim * 4)
    sparse = storage.view(torch.float32).view(batch, num_sparse, dim)
    dense[-1, -1], sparse[-1, -1, -1] = 2.0, 5.0
    out = dot_interaction(dense, sparse)
    # The pair (last sparse, dense) begins the last row of the triangle.
    pair = dim + num_sparse * (num_sparse - 1) // 2
    assert out[-1, pair] == 10.0
    assert out[-1, dim:].sum() == 10.0
