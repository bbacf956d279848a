"""Arrivals are as they should be, and the same for a seed."""

from pathlib import Path

import numpy as np
import pytest

from open_loop import merged, poisson, trace
from stepwell.base.errors import InvalidArgumentError


def test_arrivals_are_poisson_and_seeded() -> None:
    times = poisson(rate=200, seconds=50, seed=3).due_s
    assert np.array_equal(times, poisson(200, 50, seed=3).due_s)
    assert not np.array_equal(times[:50], poisson(200, 50, seed=4).due_s[:50])
    assert np.all(np.diff(times) > 0)
    assert times[-1] < 50
    # 10,000 expected: five deviations of 100 either way.
    assert len(times) == pytest.approx(10_000, abs=500)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_a_rate_that_changes_thins_the_arrivals() -> None:
    schedule = poisson(lambda t: 100.0 if t < 10 else 300.0, 20.0, seed=5, lane=2)
    first = int((schedule.due_s < 10).sum())
    # 1,000 and 3,000 expected: five deviations either way.
    assert first == pytest.approx(1_000, abs=160)
    assert len(schedule) - first == pytest.approx(3_000, abs=275)
    assert set(schedule.lane.tolist()) == {2}


def test_merged_schedules_keep_time_and_lane() -> None:
    both = merged(poisson(50, 2.0, seed=1), poisson(50, 2.0, seed=2, lane=1))
    assert np.all(np.diff(both.due_s) >= 0)
    assert np.array_equal(both.due_s[both.lane == 1], poisson(50, 2.0, seed=2).due_s)


def test_a_trace_begins_at_zero_in_order(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("100.5\n100.25 3\n\n101\n")
    schedule = trace(path)
    assert schedule.due_s.tolist() == [0.0, 0.25, 0.75]
    assert schedule.lane.tolist() == [3, 0, 0]


@pytest.mark.parametrize("line", ["soon", "1 2.5", "nan"])
def test_a_line_that_is_no_arrival_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(f"1\n{line}\n")
    with pytest.raises(InvalidArgumentError, match="arrival"):
        trace(path)


@pytest.mark.parametrize(("rate", "seconds"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0)])
def test_a_rate_or_length_of_nothing_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(InvalidArgumentError):
        poisson(rate, seconds, seed=1)
