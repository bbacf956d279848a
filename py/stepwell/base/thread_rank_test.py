"""A thread steps back by itself."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from stepwell.base.thread_rank import STEPS_BACK, step_back

FAR_BACK = 19
"""As far as there is: every thread may go there."""


def _rank() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def _rank_after(work: Callable[[], None]) -> int:
    """Where a thread stands after it did this work and stepped back."""
    seen: list[int] = []

    def run() -> None:
        work()
        step_back()
        seen.append(_rank())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (rank,) = seen
    return rank


def test_a_thread_steps_back_alone() -> None:
    before = _rank()
    assert _rank_after(lambda: None) == max(before, STEPS_BACK)
    assert _rank() == before


def test_a_thread_that_is_further_back_stays_there() -> None:
    def go_far_back() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), FAR_BACK)

    assert _rank_after(go_far_back) == FAR_BACK


@pytest.mark.parametrize(
    ("wholly", "rank", "policy"),
    [(True, FAR_BACK, os.SCHED_IDLE), (False, 10, os.SCHED_OTHER)],
)
def test_a_process_that_gives_way_goes_behind(
    wholly: bool, rank: int, policy: int
) -> None:
    script = (
        "import os; from stepwell.base.thread_rank import give_way\n"
        f"give_way(wholly={wholly})\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == [str(max(rank, _rank())), str(policy)]
