"""The benchmark of the operators measures what it says."""

from collections.abc import Iterator, Sequence

import pytest
import torch

from bench import ops, ops_interactions, ops_lookups
from bench.ops_lookups import LookupSize
from bench.ops_timing import Bar, Row
from bench.report import BenchRow

ERRORS = {"float32": 1e-5, "fp32": 1e-4, "int8": 1e-5, "int4": 1e-5, "bf16": 1e-2}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    size = LookupSize(2, 50, 128, 4, 3)
    served = [(size, name, Bar(1.0)) for name in ("float32", "int8", "int4")]
    monkeypatch.setattr(ops_lookups, "SERVED", tuple(served))
    monkeypatch.setattr(ops_lookups, "TRAINED", (size,))
    monkeypatch.setattr(ops_interactions, "INTERACTIONS", ((3, 8, 4),))
    monkeypatch.setattr(ops_interactions, "MAIN", (3, 8, 4))
    monkeypatch.setattr(ops_interactions, "REQUESTS", ((2, 3, 4, 8),))
    monkeypatch.setattr(ops_interactions, "CROSSINGS", ((4, 9, 2, 3),))
    monkeypatch.setattr(ops_interactions, "RANKINGS", ((20, 5),))

    def rows(seconds: float, quick: bool, peers: Sequence[str]) -> Iterator[Row]:
        for part in (ops_lookups.rows, ops_interactions.rows):
            yield from part(seconds / 50, quick, peers)

    monkeypatch.setattr(ops, "PARTS", (rows,))


@pytest.mark.usefixtures("small")
def test_every_row_has_a_peer_of_this_run_and_a_small_error() -> None:
    rows = [BenchRow(**row) for row in ops.measure(quick=True, peers=["torch"])]
    kinds = [row.work.split()[0].rstrip(",") for row in rows]
    assert kinds == (
        ["lookup"] * 7
        + ["interaction"] * 6
        + ["request_interaction"] * 2
        + ["cross_network"] * 2
        + ["topk_scores"]
    )
    for row in rows:
        assert row.ours > 0
        if row.peers:
            assert row.ratio == pytest.approx(min(row.peers.values()) / row.ours)
        error = float(row.work.rsplit("error ", 1)[1].rstrip(")"))
        allowed = [limit for name, limit in ERRORS.items() if name in row.work]
        assert error < (min(allowed) if allowed else 1e-12), row.work


@pytest.mark.usefixtures("small")
def test_a_served_lookup_is_a_share_of_the_ceiling_of_its_own_run() -> None:
    rows = [BenchRow(**row) for row in ops.measure(quick=True, peers=[])]
    served = [row for row in rows if "int" in row.work.split("(")[0]]
    alone = [row for row in rows if row.work.startswith("lookup") and row.ceiling]
    assert served
    assert len(alone) == 3  # one thread's; the loop has no second
    for row in alone:
        assert row.ceiling is not None
        assert row.share == pytest.approx(row.ceiling / row.ours)


@pytest.mark.usefixtures("small")
def test_a_row_without_its_peer_claims_no_bar() -> None:
    rows = [BenchRow(**row) for row in ops.measure(quick=True, peers=[])]
    quantised = [row for row in rows if ", int8 (" in row.work]
    assert [(row.bar, row.holds, row.ratio) for row in quantised] == [("", True, None)]


@pytest.mark.usefixtures("small")
def test_threads_are_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    ops.measure(quick=True, peers=[])
    assert torch.get_num_threads() == before


def test_the_oracle_of_quantised_rows_reads_the_format() -> None:
    header = torch.tensor([[0.5, -1.0]]).view(torch.uint8)
    codes = torch.tensor([[0x21, 0x03, 0, 0, 0, 0, 0, 0]], dtype=torch.uint8)
    stored = torch.cat([header, codes], 1)
    assert ops_lookups.float64_rows(stored, 3, "int4").tolist() == [[-0.5, 0.0, 0.5]]
    assert ops_lookups.float64_rows(stored, 2, "int8").tolist() == [[15.5, 0.5]]
