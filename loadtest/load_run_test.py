"""A run's columns, its parts and its summary."""

from pathlib import Path

import numpy as np
import pytest

from load_run import COLUMNS, LoadRun, void_reason
from load_run_fixture import run_of
from stepwell.client.types import Reason


def test_goodput_is_what_was_answered_in_time() -> None:
    run = run_of(
        [5.0, 25.0, 5.0, 5.0, 5.0], status=[0, 0, 8, 0, 0], tier=[1, 1, 1, 2, 3]
    )
    summary = run.summary(20.0)
    assert run.in_budget(20.0).tolist() == [True, False, False, True, True]
    assert summary["in_budget"] == pytest.approx(0.6)
    assert summary["error_share"] == pytest.approx(0.2)
    assert summary["offered"] == pytest.approx(5 / 0.04)
    assert summary["goodput"] == pytest.approx(3 / 0.04)
    assert summary["tiers"] == {"FULL": 0.5, "REDUCED": 0.25, "POPULAR": 0.25}
    assert summary["statuses"] == {"OK": 4, "RESOURCE_EXHAUSTED": 1}
    assert (summary["p50_ms"], summary["max_ms"]) == (5.0, 25.0)
    assert (summary["server_p99_ms"], summary["work_p99_ms"]) == (0.9, 0.8)


def test_a_call_that_leaves_late_has_waited_since_it_was_due() -> None:
    run = run_of([30.0, 5.0])
    run.sent_s[0] += 0.025
    assert run.latency_ms() == pytest.approx([30.0, 5.0])
    assert run.late_ms() == pytest.approx([25.0, 0.0])
    assert run.summary(20.0)["late_share"] == 0.5


def test_reasons_are_bits_by_their_number_on_the_wire() -> None:
    bits = [1 << Reason.BACKLOG | 1 << Reason.NO_RELEASE, 0, 1 << Reason.BACKLOG]
    run = run_of([1.0] * 3, reasons=bits)
    assert run.reason_counts() == {"BACKLOG": 2, "NO_RELEASE": 1}
    assert run.has_reason(Reason.NO_RELEASE).tolist() == [True, False, False]


def test_parts_of_a_run_are_runs() -> None:
    run = run_of([1.0, 2.0, 3.0, 4.0], lane=[0, 1, 0, 1], lane_names=("a", "b"))
    assert run.of_lane("b").latency_ms() == pytest.approx([2.0, 4.0])
    assert run.between(0.01, 0.03).latency_ms() == pytest.approx([2.0, 3.0])


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    run = run_of([1.0, 2.0], lane=[0, 1], lane_names=("a", "b"), void="late")
    run.save(tmp_path / "run.npz")
    loaded = LoadRun.load(tmp_path / "run.npz")
    for name in COLUMNS:
        column = getattr(loaded, name)
        assert column.dtype == getattr(run, name).dtype, name
        assert np.array_equal(column, getattr(run, name)), name
    assert (loaded.lane_names, loaded.void) == (("a", "b"), "late")
    assert loaded.generator_cpu_share == run.generator_cpu_share


def test_an_empty_run_is_all_zero() -> None:
    summary = run_of([]).summary(20.0)
    assert (summary["num_calls"], summary["p99_ms"], summary["in_budget"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("num_late", "cpu_share", "words"),
    [
        (0, 0.5, ""),
        (1, 0.5, ""),
        (2, 0.5, "98.0% of the calls left on time"),
        (0, 0.9, "used 90% of a core"),
    ],
)
def test_a_late_or_busy_generator_voids_the_run(
    num_late: int, cpu_share: float, words: str
) -> None:
    late_ms = np.array([11.0] * num_late + [9.0] * (100 - num_late))
    reason = void_reason(late_ms, cpu_share)
    assert words in reason
    assert bool(reason) == bool(words)
