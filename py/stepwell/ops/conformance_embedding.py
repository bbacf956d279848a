"""Conformance cases of the embedding ops."""

from collections.abc import Callable

import torch
from torch import Tensor

from stepwell.ops import (  # noqa: F401  registers what is tested
    embedding_bag_sparse_gradient,
    embedding_bag_tables,
    row_wise_adagrad,
)
from stepwell.ops.conformance_cases import Arguments, OpCase, random_floats
from stepwell.ops.embedding_reference import embedding_bag_tables_reference
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import (
    ROW_FORMATS,
    RowFormat,
    dequantize_rows,
    row_bytes,
)

_ROWS = (23, 9, 14)
_DIMS = (5, 16, 33)
_WIDTH = sum(_DIMS)
# No pooling wants tables of one width.
_SAME_DIMS = (7, 7, 7)
_DEFAULTS = torch.tensor([2, -1, 13])


def _lookups(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices, -1 among them, offsets and a factor for each entry."""
    random = torch.Generator().manual_seed(batch)
    lengths = torch.randint(0, 5, (len(_ROWS), batch), generator=random)
    entries = [
        torch.randint(-1, rows, (int(lengths[table].sum()),), generator=random)
        for table, rows in enumerate(_ROWS)
    ]
    start = torch.zeros(1, dtype=torch.int64)
    offsets = torch.cat([start, lengths.flatten().cumsum(0)])
    indices = torch.cat(entries)
    return indices, offsets, torch.randn(len(indices), generator=random)


def _tables(dims: tuple[int, ...] = _DIMS) -> list[Tensor]:
    return [random_floats(rows, dim) for rows, dim in zip(_ROWS, dims, strict=True)]


def _bags(
    dtype: torch.dtype, pooling: str, dims: tuple[int, ...] = _DIMS
) -> Callable[[int], Arguments]:
    def arguments(batch: int) -> Arguments:
        tables = [table.to(dtype) for table in _tables(dims)]
        return tables, *_lookups(batch), _DEFAULTS, pooling

    return arguments


def _narrow_bags(batch: int) -> Arguments:
    indices, offsets, factors = _lookups(batch)
    return _tables(), indices.int(), offsets.int(), factors, None, "sum"


def _reference(
    weights: list[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor,
    default_rows: Tensor | None,
    pooling: str,
) -> Tensor:
    return embedding_bag_tables_reference(
        weights, indices, offsets, per_sample_weights, pooling, default_rows
    )


def _bags_backward(batch: int) -> Arguments:
    return random_floats(batch, _WIDTH), *_bags(torch.float32, "mean")(batch)


def _weights_backward(batch: int) -> Arguments:
    indices, offsets, _ = _lookups(batch)
    grad = random_floats(batch, _WIDTH)
    return grad, _tables(), indices, offsets, _DEFAULTS, "mean"


def _entry_backward(batch: int) -> Arguments:
    _, offsets, factors = _lookups(batch)
    return random_floats(batch, _WIDTH), list(_DIMS), offsets, factors, "mean"


def _packed(row_format: RowFormat, output_dtype: str) -> Callable[[int], Arguments]:
    def arguments(batch: int) -> Arguments:
        packed = PackedTables.build(_tables(), row_format, _DEFAULTS.tolist())
        lookups = _lookups(batch)
        return packed.rows, packed.layout, *lookups, _WIDTH, "mean", output_dtype

    return arguments


def _packed_reference(
    rows: Tensor,
    layout: Tensor,
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor,
    output_dim: int,
    pooling: str,
    output_dtype: str,
) -> Tensor:
    """The definition on what the bytes stand for."""
    tables = []
    for start, num_rows, dim, number, _ in layout.tolist():
        row_format = ROW_FORMATS[number]
        size = num_rows * row_bytes(row_format, dim)
        found = rows[start : start + size].view(num_rows, -1)
        tables.append(dequantize_rows(found, dim, row_format).double())
    return embedding_bag_tables_reference(
        tables, indices, offsets, per_sample_weights, pooling, layout[:, 4]
    )


def _quantize(batch: int) -> Arguments:
    return random_floats(batch, 33), "int4"


def _dequantize(batch: int) -> Arguments:
    return (
        torch.ops.stepwell.quantize_rows(random_floats(batch, 33), "int4"),
        33,
        "int4",
    )


def _adagrad(batch: int) -> Arguments:
    random = torch.Generator().manual_seed(batch)
    row_ids = torch.randint(0, 20, (batch,), generator=random)
    moments = torch.rand(20, generator=random)
    return random_floats(20, 33), moments, row_ids, random_floats(batch, 33), 0.1, 1e-3


_BAG_DIMS = {"indices": 0, "offsets": 0, "per_sample_weights": 0}
# Any of these is a dtype that tables may have, but no two at once.
_FORWARDS = [
    (torch.float32, "mean", _DIMS, 1e-5),
    (torch.float32, "sum", _DIMS, 1e-5),
    (torch.float32, "none", _SAME_DIMS, 1e-5),
    (torch.bfloat16, "sum", _DIMS, 2e-2),
    (torch.float16, "mean", _DIMS, 2e-3),
]
_PACKED: list[tuple[RowFormat, str]] = [
    ("float32", "float32"),
    ("int8", "bfloat16"),
    ("int4", "float32"),
]

CASES = [
    *(
        OpCase(
            name="embedding_bag_tables",
            arguments=_bags(dtype, pooling, dims),
            batch_dims=_BAG_DIMS,
            reference=_reference,
            trained=("weights", "per_sample_weights"),
            tolerance=tolerance,
            variant=f"{pooling}-{dtype}".replace("torch.", ""),
        )
        for dtype, pooling, dims, tolerance in _FORWARDS
    ),
    OpCase(
        name="embedding_bag_tables",
        arguments=_narrow_bags,
        batch_dims=_BAG_DIMS,
        reference=_reference,
        trained=("weights", "per_sample_weights"),
        variant="int32",
    ),
    OpCase(
        name="embedding_bag_tables_backward",
        arguments=_bags_backward,
        batch_dims={"grad": 0, **_BAG_DIMS},
    ),
    OpCase(
        name="embedding_bag_tables_weights_backward",
        arguments=_weights_backward,
        batch_dims={"grad": 0, "indices": 0, "offsets": 0},
    ),
    OpCase(
        name="embedding_bag_tables_entry_backward",
        arguments=_entry_backward,
        batch_dims={"grad": 0, "offsets": 0, "per_sample_weights": 0},
    ),
    *(
        OpCase(
            name="embedding_bag_packed",
            arguments=_packed(row_format, output_dtype),
            batch_dims=_BAG_DIMS,
            reference=_packed_reference,
            tolerance=1e-5 if output_dtype == "float32" else 2e-2,
            variant=f"{row_format}-{output_dtype}",
        )
        for row_format, output_dtype in _PACKED
    ),
    OpCase(name="quantize_rows", arguments=_quantize, batch_dims={"rows": 0}),
    OpCase(name="dequantize_rows", arguments=_dequantize, batch_dims={"rows": 0}),
    OpCase(
        name="row_wise_adagrad_",
        arguments=_adagrad,
        batch_dims={"row_ids": 0, "grads": 0},
        changes=("table", "moments"),
    ),
]
