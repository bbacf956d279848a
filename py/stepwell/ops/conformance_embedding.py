"""Conformance cases of the embedding ops."""

import torch
from torch import Tensor

from stepwell.ops import (  # noqa: F401  registers what is tested
    embedding_bag_sparse_gradient,
    row_wise_adagrad,
)
from stepwell.ops.conformance_cases import Arguments, OpCase, random_floats

_ROWS = (23, 9, 14)
_DIMS = (5, 16, 33)
_WIDTH = sum(_DIMS)


def _lookups(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices, -1 among them, offsets and a factor for each entry."""
    random = torch.Generator().manual_seed(batch)
    lengths = torch.randint(0, 5, (len(_ROWS), batch), generator=random)
    entries = [
        torch.randint(-1, rows, (int(lengths[table].sum()),), generator=random)
        for table, rows in enumerate(_ROWS)
    ]
    offsets = torch.cat(
        [torch.zeros(1, dtype=torch.int64), lengths.flatten().cumsum(0)]
    )
    indices = torch.cat(entries)
    return indices, offsets, torch.randn(len(indices), generator=random)


def _entry_backward(batch: int) -> Arguments:
    _, offsets, factors = _lookups(batch)
    return random_floats(batch, _WIDTH), list(_DIMS), offsets, factors, "mean"


def _adagrad(batch: int) -> Arguments:
    random = torch.Generator().manual_seed(batch)
    row_ids = torch.randint(0, 20, (batch,), generator=random)
    moments = torch.rand(20, generator=random)
    return random_floats(20, 33), moments, row_ids, random_floats(batch, 33), 0.1, 1e-3


CASES = [
    OpCase(
        name="embedding_bag_tables_entry_backward",
        arguments=_entry_backward,
        batch_dims={"grad": 0, "offsets": 0, "per_sample_weights": 0},
    ),
    OpCase(
        name="row_wise_adagrad_",
        arguments=_adagrad,
        batch_dims={"row_ids": 0, "grads": 0},
        changes=("table", "moments"),
    ),
]
