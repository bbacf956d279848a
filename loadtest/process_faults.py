"""Signals as faults: a process that is stopped, or that runs in slow motion."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SLOW_STEP_S = 0.005
"""Fine steps look like a slow processor, long ones like stops one after the other."""


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Stops a process; it goes on at the end. Its connections stay open meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def slow_motion(pid: int, factor: float, step_s: float = SLOW_STEP_S) -> Iterator[None]:
    """A process runs `factor` times slower: stopped for all but a share of each step.

    It stands for a slower model, a throttled container, a neighbour on the machine.
    """
    ended = threading.Event()
    awake_s = step_s / factor

    def toggle() -> None:
        while not ended.is_set():
            os.kill(pid, signal.SIGSTOP)
            ended.wait(step_s - awake_s)
            os.kill(pid, signal.SIGCONT)
            ended.wait(awake_s)

    thread = threading.Thread(target=toggle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
