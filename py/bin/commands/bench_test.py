"""`./stepwell bench` prints, writes and judges what a benchmark measured."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from bench.retrieval_options import RetrievalOptions
from commands import bench
from stepwell.base.errors import InvalidArgumentError

ROW = {"work": "w", "ours": 2.0, "unit": "us", "bar": ">= 1x", "holds": False}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str] | None]:
    peers_asked: list[Sequence[str] | None] = []

    def measure(quick: bool, peers: Sequence[str] | None) -> list[dict[str, object]]:
        peers_asked.append(peers)
        return [ROW]

    module = ModuleType("bench.ops")
    module.__dict__.update(measure=measure, notes=lambda peers: ["peer x: not here"])
    monkeypatch.setitem(sys.modules, "bench.ops", module)
    return peers_asked


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(words)


def test_a_missed_bar_fails_only_under_check(
    asked: list[Sequence[str] | None],
) -> None:
    assert bench.run(parsed("ops")) == 0
    assert bench.run(parsed("ops", "--check")) == 1


def test_the_peers_reach_the_benchmark(asked: list[Sequence[str] | None]) -> None:
    bench.run(parsed("ops", "--peer", "torch,compile"))
    bench.run(parsed("ops"))
    assert asked == [["torch", "compile"], None]


def test_a_missing_peer_is_printed_and_written(
    asked: list[Sequence[str] | None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "ops.json"
    bench.run(parsed("ops", "--json", str(path)))
    assert "Note: peer x: not here" in capsys.readouterr().out
    assert json.loads(path.read_text())["notes"] == ["peer x: not here"]


def test_a_report_among_the_figures_fills_its_table(
    asked: list[Sequence[str] | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "README.md").write_text("nothing\n")
    document = tmp_path / "BENCHMARKS.md"
    document.write_text("<!-- figures:ops -->\n<!-- /figures -->\n")
    bench.run(parsed("ops", "--json", str(tmp_path / "ops.json")))
    assert "| w |" not in document.read_text()
    bench.run(parsed("ops", "--json", str(tmp_path / "docs" / "figures" / "ops.json")))
    assert "| w | 2 | us | >= 1x | **no** |" in document.read_text()


def test_an_unknown_peer_ends_with_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed("ops", "--peer", "fbgem")
    assert "did you mean fbgemm?" in capsys.readouterr().err


def test_peers_of_another_benchmark_are_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="--peer is for ops"):
        bench.run(parsed("retrieval", "--peer", "torch"))


def test_arguments_of_retrieval_are_an_error_elsewhere() -> None:
    with pytest.raises(InvalidArgumentError, match="--more is for retrieval"):
        bench.run(parsed("ops", "--more"))


def test_a_request_for_retrieval_reaches_it_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requests: list[RetrievalOptions] = []

    def measure(quick: bool, options: RetrievalOptions) -> list[dict[str, object]]:
        requests.append(options)
        return [ROW]

    module = ModuleType("bench.retrieval")
    module.__dict__.update(measure=measure, notes=lambda options: [])
    monkeypatch.setitem(sys.modules, "bench.retrieval", module)
    path = tmp_path / "found.json"
    words = ("--vectors", "v.npy", "--metric", "l2", "--parts", "open,churn")
    bench.run(parsed("retrieval", *words, "--json", str(path)))
    bench.run(parsed("retrieval", "--large"))
    assert requests == [
        RetrievalOptions(
            parts=("open", "churn"),
            vectors=Path("v.npy"),
            metric="l2",
            plots=tmp_path,
        ),
        RetrievalOptions(parts=("large",)),
    ]


def test_a_part_that_is_none_ends_with_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed("retrieval", "--parts", "curve")
    assert "'curve' is none of curves" in capsys.readouterr().err
