"""Faults of a server of several processes, by signals; nothing of it is changed."""

import os
import signal
from contextlib import ExitStack

import psutil

from faults.process_faults import slow_motion
from scenarios import Fault


def paused(pid: int) -> Fault:
    """A server and its children stand still; their connections stay open."""
    stopped: list[int] = []

    def stop() -> None:
        stopped.extend(tree(pid))
        for one in stopped:
            os.kill(one, signal.SIGSTOP)

    def go_on() -> None:
        while stopped:
            os.kill(stopped.pop(), signal.SIGCONT)

    return Fault(stop, go_on)


def in_slow_motion(pid: int, factor: float) -> Fault:
    """A server and its children run so many times slower."""
    running = ExitStack()

    def begin() -> None:
        for one in tree(pid):
            running.enter_context(slow_motion(one, factor))

    return Fault(begin, running.close)


def tree(pid: int) -> list[int]:
    """Returns a process and all that it has started, itself first."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]
