"""PackedTables and embedding_bag_packed: values, layouts, errors, contracts."""

import mmap
import resource
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.embedding_bag_tables import Pooling
from stepwell.ops.embedding_reference import embedding_bag_tables_reference
from stepwell.ops.packed_tables import NUM_ROWS, ROW_FORMAT, PackedTables
from stepwell.ops.quantize_rows import ROW_FORMATS, RowFormat, row_bytes
from stepwell.ops.row_formats_golden import golden_rows

POOLINGS: list[Pooling] = ["sum", "mean", "none"]


def random_tables(dims: list[int], seed: int = 0) -> list[Tensor]:
    """Tables of 1 to 20 rows."""
    random = torch.Generator().manual_seed(seed)
    num_rows = torch.randint(1, 21, (len(dims),), generator=random).tolist()
    return [
        torch.randn(rows, dim, generator=random)
        for rows, dim in zip(num_rows, dims, strict=True)
    ]


def random_bags(
    tables: list[Tensor], batch: int, max_length: int, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Indices, offsets and weights of bags of up to max_length entries, some -1."""
    random = torch.Generator().manual_seed(seed)
    lengths, indices = [torch.zeros(1, dtype=torch.int64)], []
    for table in tables:
        lengths.append(torch.randint(0, max_length + 1, (batch,), generator=random))
        count = int(lengths[-1].sum())
        indices.append(torch.randint(-1, len(table), (count,), generator=random))
    entries = torch.cat(indices)
    weights = torch.randn(len(entries), generator=random)
    return entries, torch.cat(lengths).cumsum(0), weights


def stored_values(packed: PackedTables) -> list[Tensor]:
    return [packed.values(table).double() for table in range(packed.num_tables)]


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    dims=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    batch=st.integers(0, 9),
    max_length=st.integers(0, 7),
    pooling=st.sampled_from(POOLINGS),
    weighted=st.booleans(),
    index_dtype=st.sampled_from([torch.int32, torch.int64]),
    output_dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    with_defaults=st.booleans(),
    data=st.data(),
)
def test_equals_the_definition_in_float64(
    dims: list[int],
    batch: int,
    max_length: int,
    pooling: Pooling,
    weighted: bool,
    index_dtype: torch.dtype,
    output_dtype: torch.dtype,
    with_defaults: bool,
    data: st.DataObject,
) -> None:
    if pooling == "none":
        dims = [dims[0]] * len(dims)
    seed = data.draw(st.integers(0, 2**31))
    formats = [data.draw(st.sampled_from(ROW_FORMATS)) for _ in dims]
    tables = random_tables(dims, seed)
    defaults = [len(table) // 2 - 1 for table in tables] if with_defaults else None
    packed = PackedTables.build(tables, formats, defaults)
    indices, offsets, weights = random_bags(tables, batch, max_length, seed)
    got = packed(
        indices.to(index_dtype),
        offsets.to(index_dtype),
        weights if weighted else None,
        pooling,
        output_dtype,
    )
    expected = embedding_bag_tables_reference(
        stored_values(packed),
        indices,
        offsets,
        weights.double() if weighted else None,
        pooling,
        defaults,
    )
    assert got.dtype == output_dtype
    rtol, atol = (1e-5, 2e-5) if output_dtype == torch.float32 else (8e-3, 2e-5)
    torch.testing.assert_close(got.double(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("row_format", ROW_FORMATS)
def test_serves_the_golden_rows(row_format: RowFormat) -> None:
    for row in golden_rows():
        if row.row_format != row_format:
            continue
        place = ROW_FORMATS.index(row_format)
        layout = torch.tensor([[0, 1, len(row.values), place, -1]])
        packed = PackedTables(row.stored, layout)
        got = packed(torch.tensor([0]), torch.tensor([0, 1]))
        torch.testing.assert_close(got, packed.values(0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("row_format", ROW_FORMATS)
@pytest.mark.parametrize("dim", [8, 16, 32, 64, 100, 128, 129, 200, 1000])
def test_reads_all_widths(row_format: RowFormat, dim: int) -> None:
    tables = random_tables([dim] * 3)
    packed = PackedTables.build(tables, row_format)
    indices, offsets, _ = random_bags(tables, 33, 6)
    expected = embedding_bag_tables_reference(stored_values(packed), indices, offsets)
    got = packed(indices, offsets).double()
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-5)


def test_keeps_what_the_formats_can_hold() -> None:
    tables = random_tables([7, 64])
    packed = PackedTables.build(tables, ["float32", "int8"])
    assert packed.num_tables == 2
    assert packed.dims == (7, 64)
    assert packed.row_formats == ("float32", "int8")
    assert torch.equal(packed.values(0), tables[0])
    span = tables[1].amax(1, keepdim=True) - tables[1].amin(1, keepdim=True)
    assert bool(((packed.values(1) - tables[1]).abs() <= span / 500).all())
    assert packed.nbytes >= packed.values(0).numel() * 4 + len(tables[1]) * 72


def test_gives_the_same_bits_with_one_thread_and_two() -> None:
    tables = random_tables([64] * 8)
    packed = PackedTables.build(tables, "int8")
    indices, offsets, weights = random_bags(tables, 900, 9)
    before = torch.get_num_threads()
    outputs = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            outputs.append(packed(indices, offsets, weights, "mean"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*outputs)


def test_moving_the_module_leaves_its_layout_on_the_cpu() -> None:
    packed = PackedTables.build([torch.zeros(3, 4)], "int8")
    moved = packed.to("meta")
    assert moved.rows.device.type == "meta"
    assert moved.layout.device.type == "cpu"


def test_reads_rows_beyond_four_gigabytes() -> None:
    # Virtual memory: only the pages of the rows written are ever there.
    num_bytes = 5 << 30
    memory = mmap.mmap(
        -1,
        num_bytes,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0),
    )
    storage = torch.frombuffer(memory, dtype=torch.uint8)
    num_rows = num_bytes // 64 - 1
    row = torch.randn(16)
    storage[-64:] = row.view(torch.uint8)
    storage[-128:-64] = -row.view(torch.uint8)
    # Two tables: one that reaches past 4 GiB, one that starts past it.
    layout = torch.tensor(
        [[64, num_rows, 16, 0, num_rows - 1], [num_bytes - 128, 2, 16, 0, -1]]
    )
    packed = PackedTables(storage, layout)
    got = packed(torch.tensor([-1, num_rows - 1, 1]), torch.tensor([0, 2, 3]))
    assert torch.equal(got, torch.cat([2 * row, row])[None])
    with pytest.raises(RuntimeError, match=rf"indices\[0\] is {num_rows}, must be"):
        packed(torch.tensor([num_rows]), torch.tensor([0, 1, 1]))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3 << 20  # KiB


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_keeps_the_contracts_of_a_torch_operator(
    pooling: Pooling, weighted: bool
) -> None:
    tables = random_tables([8, 8])
    packed = PackedTables.build(tables, "int4")
    indices, offsets, weights = random_bags(tables, 4, 3)
    torch.library.opcheck(
        torch.ops.stepwell.embedding_bag_packed.default,
        (
            packed.rows,
            packed.layout,
            indices,
            offsets,
            weights if weighted else None,
            8 if pooling == "none" else 16,
            pooling,
            "bfloat16",
        ),
    )


def test_compiles_without_a_graph_break() -> None:
    tables = random_tables([8, 3])
    packed = PackedTables.build(tables, "int8")
    indices, offsets, weights = random_bags(tables, 4, 3)
    graph = torch.compile(packed, backend="eager", fullgraph=True)
    assert torch.equal(
        graph(indices, offsets, weights), packed(indices, offsets, weights)
    )


def test_exports_with_a_batch_of_any_size() -> None:
    tables = random_tables([8, 3])
    packed = PackedTables.build(tables, "int8")
    indices = torch.tensor([0, 0, 0, 0])
    program = torch.export.export(
        packed,
        (indices, torch.arange(5)),
        dynamic_shapes={
            "indices": {0: torch.export.Dim.DYNAMIC},
            "offsets": {0: torch.export.Dim.DYNAMIC},
        },
    )
    indices = torch.zeros(6, dtype=torch.int64)
    offsets = torch.arange(7)
    assert torch.equal(program.module()(indices, offsets), packed(indices, offsets))


def test_builds_tables_of_other_float_types_and_without_rows() -> None:
    packed = PackedTables.build([torch.ones(2, 3).half(), torch.zeros(0, 5)], "int8")
    got = packed(torch.tensor([1, -1]), torch.tensor([0, 1, 2]))
    assert torch.equal(got, torch.tensor([[1.0] * 3 + [0.0] * 5]))


BAD_BUILDS: dict[str, tuple[dict[str, Any], str]] = {
    "flat table": ({"tables": [torch.zeros(3)]}, r"tables\[0\] must be \[N, D\]"),
    "unknown format": ({"row_format": "int5"}, r"row_format\[0\] must be one of"),
    "two formats for one table": (
        {"row_format": ["int8", "int8"]},
        "1 tables, got 2 row formats and 1 default rows",
    ),
    "default row past the table": (
        {"default_rows": [2]},
        r"default_rows\[0\] is 2, must be in \[-1, 1\]",
    ),
    "not finite": (
        {"tables": [torch.tensor([[1.0], [torch.inf]])]},
        r"tables\[0\], rows from 0 on: .*rows\[1, 0\] is inf",
    ),
}


@pytest.mark.parametrize("name", BAD_BUILDS)
def test_build_refuses_bad_input(name: str) -> None:
    changes, message = BAD_BUILDS[name]
    arguments: dict[str, Any] = {"tables": [torch.zeros(2, 1)], "row_format": "int8"}
    with pytest.raises(ValueError, match=message):
        PackedTables.build(**(arguments | changes))


MAX = 2**63 - 1
# The storage has 64 bytes; a good entry is [8, 3, 8, int8, -1]: rows of 16 bytes.
BAD_LAYOUTS = {
    "offset before the storage": ([-8, 3, 8, 3, -1], "has byte_offset -8, must be in"),
    "offset past the storage": ([72, 0, 8, 3, -1], "has byte_offset 72, must be in"),
    "offset far past": ([MAX, 1, 8, 3, -1], f"has byte_offset {MAX}, must be in"),
    "offset not aligned": ([4, 3, 8, 3, -1], "has byte_offset 4, must be such that"),
    "float rows not aligned": (
        [2, 1, 8, 0, -1],
        "has byte_offset 2, must be such that",
    ),
    "a row too many": ([8, 4, 8, 3, -1], r"has num_rows 4, must be in \[0, 3\]"),
    "rows that overflow": ([0, MAX, 8, 3, -1], rf"has num_rows {MAX}, must be in"),
    "rows below zero": ([0, -1, 8, 3, -1], "has num_rows -1, must be in"),
    "no columns": ([0, 1, 0, 3, -1], "has dim 0, must be in"),
    "columns below zero": ([0, 1, -(2**63), 3, -1], "has dim -9223372036854775808"),
    "columns that overflow": ([0, 1, MAX, 0, -1], f"has dim {MAX}, must be in"),
    "too wide a row": ([0, 1, 2**32, 0, -1], r"has num_rows 1, must be in \[0, 0\]"),
    "default row past the table": ([8, 3, 8, 3, 3], r"default_row 3, must be in"),
    "default row below -1": ([8, 3, 8, 3, -2], "has default_row -2, must be in"),
    "unknown format": ([0, 1, 8, 5, -1], "has row_format 5, must be in"),
    "format below zero": ([0, 1, 8, -1, -1], "has row_format -1, must be in"),
}


def changed(**changes: object) -> Callable[[], Tensor]:
    """A call of the operator that is good but for the arguments named."""
    arguments: dict[str, object] = {
        "rows": torch.zeros(64, dtype=torch.uint8),
        "layout": torch.tensor([[8, 3, 8, 3, -1]]),
        "indices": torch.tensor([0, 2]),
        "offsets": torch.tensor([0, 2]),
        "per_sample_weights": None,
        "output_dim": 8,
        "pooling": "sum",
        "output_dtype": "float32",
    }
    arguments.update(changes)
    return lambda: torch.ops.stepwell.embedding_bag_packed(**arguments)


@pytest.mark.parametrize("name", BAD_LAYOUTS)
def test_a_layout_outside_of_the_storage_is_refused(name: str) -> None:
    entry, message = BAD_LAYOUTS[name]
    good = [8, 3, 8, 3, -1]
    call = changed(layout=torch.tensor([good, entry]), offsets=torch.tensor([0, 2, 2]))
    with pytest.raises(RuntimeError, match=rf"layout\[1\] .*{message}"):
        call()


BAD_CALLS = {
    "float storage": (changed(rows=torch.zeros(64)), "rows must be uint8, got float32"),
    "square storage": (
        changed(rows=torch.zeros(8, 8, dtype=torch.uint8)),
        "rows must have 1 dimensions, got 2",
    ),
    "strided storage": (
        changed(rows=torch.zeros(128, dtype=torch.uint8)[::2]),
        "rows must be contiguous",
    ),
    "int32 layout": (
        changed(layout=torch.zeros(1, 5, dtype=torch.int32)),
        "layout must be int64, got int32",
    ),
    "narrow layout": (
        changed(layout=torch.zeros(1, 4, dtype=torch.int64)),
        "layout must have size 5 in dimension 1, got 4",
    ),
    "no table": (
        changed(layout=torch.zeros(0, 5, dtype=torch.int64)),
        "layout must describe at least one table, got 0",
    ),
    "another width": (changed(output_dim=9), "output_dim must be 8 by layout, got 9"),
    "float16 output": (
        changed(output_dtype="float16"),
        'output_dtype must be "float32" or "bfloat16", got "float16"',
    ),
    "max pooling": (changed(pooling="max"), "pooling must be .* got .max."),
    "past the table": (
        changed(indices=torch.tensor([0, 3])),
        r"indices\[1\] is 3, must be in \[-1, 2\] for table 0",
    ),
    "below minus one": (
        changed(indices=torch.tensor([-2, 0])),
        r"indices\[0\] is -2, must be in \[-1, 2\] for table 0",
    ),
    "offsets fall": (
        changed(offsets=torch.tensor([0, 2, 1, 2])),
        r"offsets\[2\] is 1 \(table 0\)",
    ),
    "entries left over": (
        changed(offsets=torch.tensor([0, 1])),
        r"offsets\[-1\] is 1, must be the number of indices, 2",
    ),
    "bfloat16 weights": (
        changed(per_sample_weights=torch.ones(2).bfloat16()),
        "per_sample_weights must be float32, got bfloat16",
    ),
    "different widths without pooling": (
        changed(
            layout=torch.tensor([[0, 1, 8, 3, -1], [32, 1, 9, 3, -1]]),
            offsets=torch.tensor([0, 2, 2]),
            pooling="none",
        ),
        "table 1 has 9 columns, must have those of table 0, 8, for pooling none",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_an_error_that_names_it(name: str) -> None:
    call, message = BAD_CALLS[name]
    with pytest.raises(RuntimeError, match=f"embedding_bag_packed: {message}"):
        call()


def test_a_module_refuses_a_layout_that_no_call_could_use() -> None:
    storage = torch.zeros(64, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"layout must be int64 \[T, 5\]"):
        PackedTables(storage, torch.zeros(1, NUM_ROWS, dtype=torch.int64))
    layout = torch.zeros(1, 5, dtype=torch.int64)
    layout[0, ROW_FORMAT] = len(ROW_FORMATS)
    with pytest.raises(ValueError, match=r"layout\[0\] has row_format 5"):
        PackedTables(storage, layout)
    packed = PackedTables.build([torch.zeros(2, 3)], "int8")
    with pytest.raises(ValueError, match="output_dtype must be float32 or bfloat16"):
        packed(torch.tensor([0]), torch.tensor([0, 1]), output_dtype=torch.float64)


def test_a_row_takes_the_bytes_that_its_format_says() -> None:
    packed = PackedTables.build([torch.zeros(10, 33)], "int4")
    assert packed.nbytes == 10 * row_bytes("int4", 33) == 10 * 32
