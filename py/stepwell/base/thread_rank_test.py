"""A thread steps back by itself."""

import os
import threading
from collections.abc import Callable

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
