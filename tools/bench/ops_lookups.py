"""Rows of the benchmark `ops` for embedding lookups: served tables and trained ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from bench import gather_ceiling
from bench.ops_fbgemm import fbgemm_tables
from bench.ops_timing import (
    NUM_INDEX_SETS,
    Bar,
    Call,
    Contest,
    Row,
    measured,
    on_two_threads,
)
from stepwell.ops.embedding_bag_tables import embedding_bag_tables
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import RowFormat, row_bytes

QUICK_BYTES = 1 << 30  # tables larger than this wait for the whole benchmark


@dataclass(frozen=True, slots=True)
class LookupSize:
    """T equal tables of N rows of D, B bags of a length each."""

    num_tables: int
    num_rows: int
    dim: int
    batch: int
    length: int

    def __str__(self) -> str:
        """Sizes as a row shows them."""
        tables = f"{self.num_tables} x {self.num_rows:,} x {self.dim}"
        return f"{tables}, {self.batch} bags of {self.length}"

    @property
    def nbytes(self) -> int:
        """Of the tables in float32."""
        return self.num_tables * self.num_rows * self.dim * 4


_LARGE = LookupSize(8, 1_000_000, 128, 256, 20)
_MANY = LookupSize(26, 100_000, 64, 256, 1)
_ONE = LookupSize(26, 100_000, 64, 1, 1)
# Tables as they are served: in one storage of huge pages, of any row format.
SERVED: tuple[tuple[LookupSize, RowFormat, Bar], ...] = (
    (_LARGE, "float32", Bar(2.0, share=0.9)),
    (_LARGE, "int8", Bar(2.0)),
    (_LARGE, "int4", Bar(1.7)),
    (_MANY, "float32", Bar(2.0)),
    (_MANY, "int8", Bar(2.0)),
    (_ONE, "float32", Bar(2.0, as_time=True)),
    (_ONE, "int8", Bar(2.0, as_time=True)),
)
# Tables as they are trained: a list of tensors in torch's ordinary memory.
TRAINED = (
    LookupSize(8, 100_000, 32, 1, 1),
    LookupSize(8, 100_000, 32, 64, 1),
    LookupSize(8, 100_000, 32, 500, 1),
    LookupSize(8, 100_000, 32, 2048, 1),
    LookupSize(26, 100_000, 64, 1, 1),
    LookupSize(26, 100_000, 64, 500, 1),
    LookupSize(8, 100_000, 64, 500, 20),
    _LARGE,
)


class Ids:
    """Random ids of every index set, in the forms that the contenders take."""

    def __init__(self, size: LookupSize) -> None:
        entries = size.batch * size.length
        shape = (NUM_INDEX_SETS, size.num_tables, entries)
        self.by_table = torch.randint(0, size.num_rows, shape)
        self.flat = [ids.flatten() for ids in self.by_table]
        self.flat32 = [ids.int() for ids in self.flat]
        self.offsets = torch.arange(size.num_tables * size.batch + 1) * size.length
        self.offsets32 = self.offsets.int()
        self.starts = torch.arange(size.batch) * size.length


def rows(seconds: float, quick: bool, peers: Sequence[str]) -> Iterator[Row]:
    """Measures every size in turn; holds the tables of one row at a time."""
    for size, row_format, bar in SERVED:
        if not quick or size.nbytes <= QUICK_BYTES:
            yield from _served(size, row_format, bar, seconds, peers)
    for size in TRAINED:
        if not quick or size.nbytes <= QUICK_BYTES:
            yield _trained(size, seconds, peers)


def float64_rows(stored: Tensor, dim: int, row_format: RowFormat) -> Tensor:
    """Returns the values of stored rows in float64, by the format's own words.

    Args:
        stored: uint8 [L, row_bytes].
        dim: D.
        row_format: "float32", "int8" or "int4".
    Returns:
        float64 [L, D].
    """
    if row_format == "float32":
        return stored.contiguous().view(torch.float32).double()
    header = stored[:, :8].contiguous().view(torch.float32).double()
    codes = stored[:, 8 : 8 + dim]
    if row_format == "int4":
        pairs = stored[:, 8 : 8 + (dim + 1) // 2]
        codes = torch.stack([pairs & 15, pairs >> 4], -1).flatten(1)[:, :dim]
    return header[:, :1] * codes.double() + header[:, 1:]


def _served(
    size: LookupSize,
    row_format: RowFormat,
    bar: Bar,
    seconds: float,
    peers: Sequence[str],
) -> Iterator[Row]:
    ids = Ids(size)
    exact = row_format == "float32"
    sources = [_table(size) for _ in range(size.num_tables if exact else 1)]
    packed = PackedTables.build(
        sources if exact else sources * size.num_tables, row_format
    )
    against: dict[str, Call] = {}
    also: dict[str, Call] = {}
    if exact and "torch" in peers:
        against["EmbeddingBag + cat"] = _per_table(sources, ids)
        also["EmbeddingBag + cat in our huge pages"] = _per_table(_views(packed), ids)
    if "fbgemm" in peers:
        tables = fbgemm_tables(
            [(size.num_rows, size.dim)] * size.num_tables, row_format, sources
        )
        against["TBE"] = lambda s: tables(ids.flat32[s], ids.offsets32)
    if exact:
        also["embedding_bag_tables in huge pages"] = _listed(_views(packed), ids)
    contest = Contest(
        f"lookup {size}, {row_format}",
        lambda s: packed(ids.flat[s], ids.offsets),
        against,
        also,
        gather_ceiling.gathers(packed, ids.flat, size.length),
        bar=bar,
    )
    expected = _expected(packed, ids, size)
    yield measured(contest, expected, seconds)
    if size.batch > 1:
        yield on_two_threads(contest, expected, seconds)


def _trained(size: LookupSize, seconds: float, peers: Sequence[str]) -> Row:
    weights = [_table(size) for _ in range(size.num_tables)]
    ids = Ids(size)
    against: dict[str, Call] = {}
    if "torch" in peers:
        against["EmbeddingBag + cat"] = _per_table(weights, ids)
    pooled = [
        table[own].double().view(size.batch, size.length, -1).sum(1)
        for own, table in zip(ids.by_table[0], weights, strict=True)
    ]
    contest = Contest(
        f"lookup {size}, list of float32 tensors",
        _listed(weights, ids),
        against,
        # In ordinary pages the large tables' misses of the TLB are all that counts:
        # nobody is faster than the page walks, which PackedTables avoids.
        bar=None if size == _LARGE else Bar(1.0),
    )
    return measured(contest, torch.cat(pooled, 1), seconds)


def _table(size: LookupSize) -> Tensor:
    return torch.empty(size.num_rows, size.dim).uniform_(-1, 1)


def _views(packed: PackedTables) -> list[Tensor]:
    """Float32 tables of a storage as tensors over it."""
    return [
        packed.rows[start : start + 4 * num_rows * dim]
        .view(torch.float32)
        .view(num_rows, dim)
        for start, num_rows, dim, _, _ in packed.layout.tolist()
    ]


def _listed(weights: list[Tensor], ids: Ids) -> Call:
    return lambda s: embedding_bag_tables(weights, ids.flat[s], ids.offsets)


def _per_table(weights: list[Tensor], ids: Ids) -> Call:
    pool = partial(functional.embedding_bag, mode="sum")

    def call(index_set: int) -> Tensor:
        both = zip(ids.by_table[index_set], weights, strict=True)
        return torch.cat([pool(own, table, ids.starts) for own, table in both], 1)

    return call


def _expected(packed: PackedTables, ids: Ids, size: LookupSize) -> Tensor:
    """The pooled rows of index set 0 in float64, [B, T * D]."""
    row_format = packed.row_formats[0]
    width = row_bytes(row_format, size.dim)
    pooled = []
    for own, (start, num_rows, dim, _, _) in zip(
        ids.by_table[0], packed.layout.tolist(), strict=True
    ):
        stored = packed.rows[start : start + num_rows * width].view(num_rows, width)
        values = float64_rows(stored[own], dim, row_format)
        pooled.append(values.view(size.batch, size.length, dim).sum(1))
    return torch.cat(pooled, 1)
