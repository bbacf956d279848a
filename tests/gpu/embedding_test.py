"""The embedding lookups on CUDA against their definition in float64.

Needs pytest, torch >= 2.11 with CUDA, the files of tests/gpu and py/stepwell/ops, and
the two libraries, the CUDA one beside the other:

    STEPWELL_OPS_LIBRARY=.../libstepwell_ops.so PYTHONPATH=py:tests \\
        pytest tests/gpu -ra
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
from stepwell.ops.embedding_bag_tables import Pooling, embedding_bag_tables
from stepwell.ops.embedding_reference import embedding_bag_tables_reference
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import (
    ROW_FORMATS,
    RowFormat,
    dequantize_rows,
    quantize_rows,
)

pytestmark = needs_cuda_ops

# One float, odd, of one vector, of several, wider than a warp of vectors.
DIMS = [1, 7, 16, 33, 64, 128, 300]
NUM_ROWS = 50
POOLINGS: list[Pooling] = ["sum", "mean", "none"]


def random_bags(
    num_tables: int, batch: int, dtype: torch.dtype = torch.int64
) -> tuple[Tensor, Tensor, Tensor]:
    """Indices with default rows, offsets with empty bags, and weights of entries."""
    random = torch.Generator().manual_seed(batch)
    lengths = torch.randint(0, 9, (num_tables * batch,), generator=random)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    indices = torch.randint(-1, NUM_ROWS, (int(lengths.sum()),), generator=random)
    entry_weights = torch.randn(len(indices), generator=random)
    return indices.to(dtype), offsets.to(dtype), entry_weights


def random_tables(dims: list[int], dtype: torch.dtype) -> list[Tensor]:
    return [
        random_floats(NUM_ROWS, dim, seed=number, dtype=dtype)
        for number, dim in enumerate(dims)
    ]


def dims_for(pooling: str) -> list[int]:
    return [33, 33, 33] if pooling == "none" else DIMS


@pytest.mark.parametrize("batch", [0, 1, 7, 40])
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_equal_the_definition(
    batch: int, index_dtype: torch.dtype, pooling: Pooling, weighted: bool
) -> None:
    dims = dims_for(pooling)
    tables = [table.requires_grad_() for table in random_tables(dims, torch.float32)]
    indices, offsets, entry_weights = random_bags(len(dims), batch, index_dtype)
    leaves = [*tables, entry_weights.requires_grad_()] if weighted else tables
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = embedding_bag_tables_reference(
        wide[: len(dims)],
        indices,
        offsets,
        wide[-1] if weighted else None,
        pooling,
    )
    near = on_device(*leaves)
    got = embedding_bag_tables(
        near[: len(dims)],
        moved(indices),
        moved(offsets),
        near[-1] if weighted else None,
        pooling,
    )
    assert_close(got, expected, TOLERANCE[torch.float32])
    direction = random_floats(*expected.shape)
    got_grads = torch.autograd.grad(got, near, direction.to(DEVICE))
    # Tables that nothing was looked up in have a gradient too.
    named = expected + 0 * sum(leaf.sum() for leaf in wide)
    expected_grads = torch.autograd.grad(named, wide, direction.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        assert_close(ours, theirs, TOLERANCE[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_tables_of_16_bits_pool_in_float32(
    dtype: torch.dtype, pooling: Pooling
) -> None:
    dims = dims_for(pooling)
    tables = random_tables(dims, dtype)
    indices, offsets, entry_weights = random_bags(len(dims), 9)
    expected = embedding_bag_tables_reference(
        [table.double() for table in tables],
        indices,
        offsets,
        entry_weights.double(),
        pooling,
    )
    got = embedding_bag_tables(
        on_device(*tables),
        moved(indices),
        moved(offsets),
        moved(entry_weights),
        pooling,
    )
    assert got.dtype == dtype
    assert_close(got, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_default_row_stands_for_minus_one_and_gets_its_gradient(
    pooling: Pooling,
) -> None:
    dims = dims_for(pooling)
    tables = [table.requires_grad_() for table in random_tables(dims, torch.float32)]
    wide = [table.detach().double().requires_grad_() for table in tables]
    indices, offsets, _ = random_bags(len(dims), 9)
    default_rows = torch.tensor([3 * number - 1 for number in range(len(dims))])
    expected = embedding_bag_tables_reference(
        wide, indices, offsets, None, pooling, default_rows
    )
    near = on_device(*tables)
    got = embedding_bag_tables(
        near,
        moved(indices),
        moved(offsets),
        pooling=pooling,
        default_rows=default_rows,
    )
    assert_close(got, expected, TOLERANCE[torch.float32])
    for ours, theirs in zip(
        torch.autograd.grad(got.sum(), near),
        torch.autograd.grad(expected.sum(), wide),
        strict=True,
    ):
        assert_close(ours, theirs, TOLERANCE[torch.float32])


def test_more_tables_than_one_launch_takes() -> None:
    tables = random_tables([8] * 150, torch.float32)
    indices, offsets, _ = random_bags(150, 3)
    expected = embedding_bag_tables_reference(
        [table.double() for table in tables], indices, offsets
    )
    got = embedding_bag_tables(on_device(*tables), moved(indices), moved(offsets))
    assert_close(got, expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("row_format", ROW_FORMATS)
@pytest.mark.parametrize("output_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_packed_tables_equal_their_dequantised_rows(
    row_format: RowFormat, output_dtype: torch.dtype, pooling: Pooling
) -> None:
    dims = dims_for(pooling)
    # Two formats take two launches; the second has a default row.
    formats = [row_format] * (len(dims) - 1) + [ROW_FORMATS[3]]
    default_rows = [-1] * (len(dims) - 1) + [2]
    packed = PackedTables.build(
        random_tables(dims, torch.float32), formats, default_rows
    )
    rows = [packed.values(table).double() for table in range(len(dims))]
    indices, offsets, entry_weights = random_bags(len(dims), 9)
    expected = embedding_bag_tables_reference(
        rows, indices, offsets, entry_weights.double(), pooling, default_rows
    )
    got = packed.to(DEVICE)(
        moved(indices),
        moved(offsets),
        moved(entry_weights),
        pooling=pooling,
        output_dtype=output_dtype,
    )
    assert got.dtype == output_dtype
    assert_close(got, expected, TOLERANCE[output_dtype])


@pytest.mark.parametrize("row_format", ROW_FORMATS)
@pytest.mark.parametrize("dim", [1, 2, 7, 8, 31, 64, 129])
def test_quantised_rows_come_back_within_half_a_step(
    row_format: RowFormat, dim: int
) -> None:
    rows = random_floats(37, dim)
    rows[3] = 0.25
    stored = quantize_rows(rows.to(DEVICE), row_format)
    got = dequantize_rows(stored, dim, row_format).cpu()
    spread = rows.amax(1) - rows.amin(1)
    step = {"int8": spread / 255, "int4": spread / 15}.get(row_format)
    bound = rows.abs() / 128 if step is None else step[:, None] / 2
    assert torch.all((got - rows).abs() <= bound * 1.01 + 1e-6)
    assert torch.equal(got[3], rows[3])


def test_a_lookup_past_two_to_the_31_elements_finds_its_row() -> None:
    # Only the rows named are ever touched.
    num_rows = 2**31 // 16 + 5
    table = torch.empty(num_rows, 32, dtype=torch.bfloat16, device=DEVICE)
    table[-1] = 3.0
    found = embedding_bag_tables(
        [table],
        torch.tensor([num_rows - 1], device=DEVICE),
        torch.tensor([0, 1], device=DEVICE),
    )
    assert torch.all(found == 3.0)
