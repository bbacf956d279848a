import os
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from stepwell.base.thread_rank import STEPS_BACK
from stepwell.serving.release_thread import ReleaseThread


@pytest.fixture
def thread() -> Iterator[ReleaseThread]:
    with closing(ReleaseThread()) as thread:
        yield thread


def test_work_runs_one_after_the_other_behind_the_callers(
    thread: ReleaseThread,
) -> None:
    seen: list[int] = []
    for number in range(20):
        thread.run_later(lambda number=number: seen.append(number))  # type: ignore[misc]
    nice = thread.submit(
        lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    )
    assert nice.result(timeout=10) >= STEPS_BACK
    assert seen == list(range(20))


def test_its_own_later_is_now(thread: ReleaseThread) -> None:
    seen: list[str] = []

    def swap() -> None:
        thread.run_later(lambda: seen.append("unload"))
        seen.append("load")

    thread.submit(swap).result(timeout=10)
    assert seen == ["unload", "load"]


def test_what_is_next_waits_for_what_runs_now(thread: ReleaseThread) -> None:
    seen: list[str] = []

    def swap() -> None:
        thread.run_next(lambda: seen.append("next"))
        seen.append("load")

    thread.submit(swap).result(timeout=10)
    thread.submit(lambda: None).result(timeout=10)
    assert seen == ["load", "next"]


def test_nothing_is_next_after_its_end() -> None:
    thread = ReleaseThread()
    thread.close()
    thread.run_next(lambda: pytest.fail("it ran"))


def test_what_comes_after_its_end_is_not_lost() -> None:
    thread = ReleaseThread()
    seen: list[int] = []
    thread.run_later(lambda: seen.append(1))
    thread.close()
    thread.run_later(lambda: seen.append(2))
    assert seen == [1, 2]
