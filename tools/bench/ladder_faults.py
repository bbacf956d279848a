"""Faults of a server of several processes, and of its Redis, by signals."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import psutil

from process_faults import slow_motion
from scenarios import Fault
from stepwell.stores.redis_server_fixture import redis_server


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


class KillableRedis:
    """A redis-server that may be away for a while; its data and its port stay.

    Args:
        folder: where it keeps its files.

    Concurrency: one thread.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._server = self._running.enter_context(redis_server(folder))

    @property
    def url(self) -> str:
        """Where clients find it."""
        return self._server.url

    def kill(self) -> None:
        """Kills it; a second call does nothing."""
        self._running.close()

    def restart(self) -> None:
        """Returns once it answers again."""
        again = redis_server(self._folder, port=self._server.port)
        self._server = self._running.enter_context(again)

    def away(self) -> Fault:
        """Killed when it begins, there again when it ends."""
        return Fault(self.kill, self.restart)
