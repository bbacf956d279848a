"""A thread steps back by itself."""

import os
import threading

from stepwell.base.thread_rank import STEPS_BACK, step_back


def _rank() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_steps_back_alone() -> None:
    before, seen = _rank(), []

    def work() -> None:
        step_back()
        seen.append(_rank())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [STEPS_BACK]
    assert _rank() == before
