"""Rests follow what was done, and only what was done since the last one."""

import pytest

from stepwell.base.errors import CancelledError
from stepwell.base.pace import Pace


class Thread:
    """Processor time and rests of a thread that a test drives."""

    def __init__(self) -> None:
        self.used = 100.0
        self.rests: list[float] = []

    def pace(self, share: float) -> Pace:
        pace = Pace(share, self.rests.append, lambda: self.used)
        pace.begin()
        return pace


def test_rests_three_times_as_long_as_it_worked_at_a_quarter_of_a_core() -> None:
    thread = Thread()
    pace = thread.pace(0.25)
    thread.used += 0.002
    assert pace.after("made") == "made"
    thread.used += 0.01
    pace.step()
    assert thread.rests == pytest.approx([0.006, 0.03])


def test_short_steps_are_rested_for_together() -> None:
    thread = Thread()
    pace = thread.pace(0.5)
    for _ in range(4):
        thread.used += 0.0002
        pace.step()
    assert thread.rests == pytest.approx([0.0006])


def test_what_came_before_the_beginning_is_not_rested_for() -> None:
    thread = Thread()
    pace = thread.pace(0.25)
    thread.used += 60.0
    pace.begin()
    pace.step()
    assert thread.rests == []


def test_a_long_step_ends_in_a_bounded_rest() -> None:
    thread = Thread()
    pace = thread.pace(0.01)
    thread.used += 5.0
    pace.step()
    assert thread.rests == [0.5]


def test_a_whole_core_never_rests() -> None:
    thread = Thread()
    pace = thread.pace(1.0)
    thread.used += 5.0
    pace.step()
    assert thread.rests == []


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share is"):
        Pace(share)


def test_cancelled_work_ends_at_its_next_step() -> None:
    pace = Thread().pace(0.25)
    pace.step()
    pace.cancel()
    with pytest.raises(CancelledError):
        pace.after("made")
