"""What is written to a row file is served from it; what is damaged is not."""

import copy
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import ROW_FORMATS, RowFormat, quantize_rows
from stepwell.ops.row_file import (
    QuantisedRows,
    RowFileWriter,
    TableSpec,
    open_tables,
    write_tables,
)
from stepwell.ops.row_formats_golden import golden_rows

DIMS = (4, 13, 64)


def float_tables() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        f"table {dim}": torch.randn(50 + dim, dim, generator=generator) for dim in DIMS
    }


@pytest.mark.parametrize("row_format", ROW_FORMATS)
def test_a_mapped_file_serves_the_same_bits_as_tables_in_memory(
    tmp_path: Path, row_format: RowFormat
) -> None:
    tables = float_tables()
    write_tables(tmp_path / "rows", tables, row_format, {"table 13": 7})
    mapped = open_tables(tmp_path / "rows")
    built = PackedTables.build(list(tables.values()), row_format, [-1, 7, -1])
    indices = torch.tensor([0, 1, 53, -1, 62, 5, -1, 113])
    offsets = torch.tensor([0, 2, 3, 5, 5, 7, 8])
    expected = built(indices, offsets)
    assert torch.equal(mapped(indices, offsets), expected)
    assert mapped.dims == DIMS
    assert [spec.name for spec in mapped.specs] == list(tables)
    assert [spec.default_row for spec in mapped.specs] == [-1, 7, -1]


def test_golden_rows_come_back_from_a_file_byte_for_byte(tmp_path: Path) -> None:
    golden = golden_rows()
    tables = {
        str(number): QuantisedRows(row.stored[None], len(row.values), row.row_format)
        for number, row in enumerate(golden)
    }
    write_tables(tmp_path / "stored", tables, "float32")
    from_stored = open_tables(tmp_path / "stored")
    for number, row in enumerate(golden):
        floats = {"a": row.values[None]}
        write_tables(tmp_path / "floats", floats, row.row_format)
        from_floats = open_tables(tmp_path / "floats")
        assert torch.equal(from_floats.rows, row.stored), number
        start = int(from_stored.layout[number, 0])
        stored = from_stored.rows[start : start + len(row.stored)]
        assert torch.equal(stored, row.stored), number
        assert torch.equal(from_stored.values(number), from_floats.values(0)), number


def test_mapped_tables_compile_and_export_without_a_graph_break(tmp_path: Path) -> None:
    write_tables(tmp_path / "rows", float_tables(), "int8")
    mapped = open_tables(tmp_path / "rows")
    bags = (torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2, 3]))
    expected = mapped(*bags)
    compiled = torch.compile(mapped, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*bags), expected)
    program = torch.export.export(mapped, bags)
    assert torch.equal(program.module()(*bags), expected)


def test_rows_appended_in_pieces_make_the_same_file(tmp_path: Path) -> None:
    table = float_tables()["table 64"]
    write_tables(tmp_path / "whole", {"a": table}, "int4")
    with RowFileWriter(tmp_path / "pieces", [TableSpec("a", 114, 64, "int4")]) as file:
        file.append(0, table[:10])
        file.append(0, quantize_rows(table[10:11], "int4"))
        file.append(0, table[11:].double())
        file.commit()
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes()


def test_a_file_whose_tables_have_no_rows_opens(tmp_path: Path) -> None:
    write_tables(tmp_path / "rows", {"a": torch.empty(0, 3)}, "int8")
    tables = open_tables(tmp_path / "rows")
    pooled = tables(torch.tensor([-1]), torch.tensor([0, 1]))
    assert torch.equal(pooled, torch.zeros(1, 3))


def test_a_replaced_file_goes_on_serving_its_old_rows(tmp_path: Path) -> None:
    write_tables(tmp_path / "rows", {"a": torch.zeros(5, 2)}, "float32")
    older = open_tables(tmp_path / "rows")
    write_tables(tmp_path / "rows", {"a": torch.ones(5, 2)}, "float32")
    assert older.values(0).sum() == 0
    assert open_tables(tmp_path / "rows").values(0).sum() == 10


def test_a_tensor_of_the_rows_keeps_the_file_mapped(tmp_path: Path) -> None:
    write_tables(tmp_path / "rows", {"a": torch.ones(3, 4)}, "float32")
    tables = open_tables(tmp_path / "rows")
    rows = tables.rows[16:32]
    del tables
    (tmp_path / "rows").unlink()
    assert torch.equal(rows.view(torch.float32), torch.ones(4))


def test_opening_warns_of_nothing(tmp_path: Path) -> None:
    write_tables(tmp_path / "rows", {"a": torch.ones(3, 4)}, "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_tables(tmp_path / "rows")


def test_a_write_to_the_rows_ends_the_process_and_spares_the_file(
    tmp_path: Path,
) -> None:
    write_tables(tmp_path / "rows", {"a": torch.ones(3, 4)}, "float32")
    before = (tmp_path / "rows").read_bytes()
    rows = open_tables(tmp_path / "rows").rows
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # no traceback of faulthandler
        rows[0] = 1
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV
    assert (tmp_path / "rows").read_bytes() == before


def test_mapped_tables_take_no_state_and_are_copied_into_memory(tmp_path: Path) -> None:
    write_tables(tmp_path / "rows", {"a": torch.ones(3, 4)}, "float32")
    tables = open_tables(tmp_path / "rows")
    with pytest.raises(FailedPreconditionError, match="read-only"):
        tables.load_state_dict(tables.state_dict())
    copied = copy.deepcopy(tables)
    copied.rows.zero_()
    assert tables.values(0).sum() == 12
    assert copied.values(0).sum() == 0


# Maps the file without torch, says so, and keeps it until its input ends.
HOLDER = """
import sys
from stepwell.base.native import native_module
file = native_module("_row_file").RowFile.open(sys.argv[1], True)
print("mapped", flush=True)
sys.stdin.read()
"""


COUNTER = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)


def shared_kib(path: Path) -> dict[str, int]:
    """Returns this process's counters, in KiB, of the memory that maps a file."""
    smaps = Path("/proc/self/smaps").read_text()
    entry = smaps.split(f"{path.resolve()}\n", 1)[1]
    return {name: int(value) for name, value in COUNTER.findall(entry)[:12]}


def test_two_processes_share_one_copy_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    write_tables(path, {"a": torch.ones(1 << 16, 32)}, "float32")
    tables = open_tables(path)
    size_kib = tables.nbytes >> 10
    alone = shared_kib(path)
    assert alone["Rss"] >= size_kib
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"mapped\n"
        together = shared_kib(path)
    assert together["Rss"] >= size_kib
    assert together["Pss"] < 0.6 * alone["Pss"]  # half, and a page of rounding
    assert together["Private_Dirty"] == 0


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_a_damaged_block_is_named_and_nothing_is_served(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    write_tables(path, {"a": torch.ones(1 << 16, 8)}, "float32")
    damage(path, -1)
    with pytest.raises(DataLossError, match=r"rows: wrong checksum of block 1 of 2, "):
        open_tables(path)
    unchecked = open_tables(path, check_blocks=False)
    with pytest.raises(DataLossError, match="block 1"):
        unchecked.check_blocks()


@pytest.mark.parametrize("size", [0, 63, 64, 200, 4096, -1])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "rows"
    write_tables(path, {"a": torch.ones(100, 8)}, "float32")
    content = path.read_bytes()
    path.write_bytes(content[:size])
    for check_blocks in (True, False):
        with pytest.raises(DataLossError, match=str(path)):
            open_tables(path, check_blocks)
    path.write_bytes(content + b"\0")
    with pytest.raises(DataLossError, match="its header says"):
        open_tables(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="none"):
        open_tables(tmp_path / "none")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TableSpec("", 1, 1, "int8"), "name of 0 bytes"),
        (TableSpec("größe", 1, 1, "int8"), "printable ASCII"),
        (TableSpec("a", -1, 1, "int8"), "num_rows is -1"),
        (TableSpec("a", 1, -1, "int8"), "dim is -1"),
        (TableSpec("a", 1, 0, "int8"), "dim 0"),
        (TableSpec("a", 1, 1, "int8", 1), "default row 1"),
        (TableSpec("a", 1, 1, "int9"), "row_format of a"),  # type: ignore[arg-type]
    ],
)
def test_a_spec_out_of_its_range_is_refused_and_leaves_nothing(
    tmp_path: Path, spec: TableSpec, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        RowFileWriter(tmp_path / "rows", [spec])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [-64, 0, 32, 96, 1 << 31])
@pytest.mark.parametrize("option", ["block_bytes", "alignment"])
def test_a_size_of_the_layout_out_of_its_range_is_refused_and_leaves_nothing(
    tmp_path: Path, option: str, size: int
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{option} is {size}, must"):
        RowFileWriter(
            tmp_path / "rows",
            [TableSpec("a", 1, 1, "int8")],
            **{option: size},
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.ones(2, 3), r"rows of a must be .* \[n, 4\], got \[2, 3\]"),
        (torch.ones(8), r"got \[8\]"),
        (torch.ones(2, 4, dtype=torch.int64), "float or uint8, got torch.int64"),
        (torch.ones(2, 4, dtype=torch.uint8), r"\[n, 16\]"),
        (torch.full((1, 4), float("nan")), "rows of a: "),
        (torch.ones(3, 4), "at most the 2 missing of a"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(
    tmp_path: Path, rows: torch.Tensor, message: str
) -> None:
    with (
        pytest.raises(InvalidArgumentError, match=message),
        RowFileWriter(tmp_path / "rows", [TableSpec("a", 2, 4, "int8")]) as writer,
    ):
        writer.append(0, rows)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_lacks_rows_or_is_closed_does_not_commit(tmp_path: Path) -> None:
    with RowFileWriter(tmp_path / "rows", [TableSpec("a", 2, 4, "int8")]) as writer:
        writer.append(0, torch.ones(1, 4))
        with pytest.raises(FailedPreconditionError, match="has 1 of its 2 rows"):
            writer.commit()
    with pytest.raises(FailedPreconditionError, match="closed"):
        writer.commit()
    with pytest.raises(InvalidArgumentError, match=r"no such tables"):
        write_tables(tmp_path / "rows", {"a": torch.ones(1, 1)}, "int8", {"b": 0})
    assert list(tmp_path.iterdir()) == []
