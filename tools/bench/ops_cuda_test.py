"""Benchmark `ops_cuda` without a GPU: its contenders agree, its arithmetic is right."""

import sys
from pathlib import Path

import pytest
import torch

from bench import ops_cuda
from bench.ops_cuda import Bench, Call, InteractionSizes, LookupSizes

SMALL_LOOKUP = LookupSizes(num_tables=3, num_rows=50, dim=16, batch=70, length=5)
SMALL_INTERACTION = InteractionSizes(batch=70, num_vectors=5, dim=16)


def bench_whose_calls_take(times: dict[str, float]) -> Bench:
    """A benchmark on the CPU that compares the contenders' results, not their times."""

    def timer(calls: dict[str, Call]) -> dict[str, float]:
        expected = calls[ops_cuda.OURS]()
        for call in calls.values():
            torch.testing.assert_close(call(), expected, rtol=0.05, atol=0.3)
        return {name: times.get(name, 100.0) for name in calls}

    return Bench(torch.device("cpu"), timer, bytes_per_us=1000.0, compiles=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_it_says_that_it_is_skipped(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "ops_cuda.json"
    monkeypatch.setattr(sys, "argv", ["ops_cuda.py", "--json", str(file)])
    ops_cuda.main()
    assert "skipped, torch sees no CUDA device" in capsys.readouterr().out
    assert not file.exists()


def test_a_row_gives_its_share_of_the_ceiling_and_the_ratio_to_the_best_peer() -> None:
    moved = SMALL_LOOKUP.bytes_moved()
    bench = bench_whose_calls_take({"ours": moved / 500.0, "one EmbeddingBag": 90.0})
    row = ops_cuda.lookup_row(bench, SMALL_LOOKUP)
    assert row["share"] == pytest.approx(0.5)
    assert row["ratio"] == pytest.approx(90.0 * 500.0 / moved)
    assert not row["holds"]


def test_a_row_holds_when_both_bars_are_met() -> None:
    bench = bench_whose_calls_take({"ours": SMALL_LOOKUP.bytes_moved() / 900.0})
    assert ops_cuda.lookup_row(bench, SMALL_LOOKUP)["holds"]


@pytest.mark.parametrize("backward", [False, True])
def test_the_interactions_contenders_agree(backward: bool) -> None:
    moved = SMALL_INTERACTION.bytes_moved(backward)
    bench = bench_whose_calls_take({"ours": moved / 900.0})
    rows = (ops_cuda.interaction_row, ops_cuda.interaction_backward_row)
    row = rows[backward](bench, SMALL_INTERACTION)
    assert row["share"] == pytest.approx(0.9)
    assert set(row["peers"]) == {"bmm + gather"}


def test_the_bytes_of_the_issue_sizes() -> None:
    # 26 tables x 8192 bags: 20 rows and one result of 256 bytes, 20 ids, one offset.
    assert LookupSizes().bytes_moved() == 26 * 8192 * (21 * 256 + 21 * 8)
    # 27 vectors of 256 bytes and 128 + 351 columns, and once more the vectors.
    assert InteractionSizes().bytes_moved(backward=False) == 8192 * (6912 + 958)
    assert InteractionSizes().bytes_moved(backward=True) == 8192 * (2 * 6912 + 958)
