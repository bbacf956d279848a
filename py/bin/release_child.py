"""A process that reads releases while this one answers, kept from one to the next."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stepwell.base.errors import UnavailableError
from stepwell.base.thread_rank import give_way

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import release_warmer_main  # noqa: F401

_SCRIPT = Path(__file__).with_name("release_warmer_main.py")
_RUN_SECONDS, _REST_SECONDS = 0.005, 0.045
"""In turns for the child: the last rank alone still costs callers the caches, the
memory's bandwidth and what the kernel does for it in one piece."""
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Of glibc: what reading a release takes goes back to the system each time. By itself
the threshold grows with the largest piece, and what is below stays with the process."""


class ReleaseChild:
    """Reads releases in an interpreter of its own, behind all that answers callers.

    What it imports takes longer than many a release, so it is started before the first
    one comes and waits for the next afterwards. It ends with this process.

    Args:
        flags: of release_warmer_main.
        wholly: it runs only when nothing else wants the processor, as in `give_way`.

    Concurrency: `read` from one thread, `close` from any. The kernel ends the child
        with the thread that made it.
    Cost: while it waits some 75 MB, no time.
    """

    def __init__(self, flags: Sequence[str], *, wholly: bool = True) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), f"--parent_pid={os.getpid()}", *flags],
            env={**os.environ, **_ALLOCATOR, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Each line is taken as it comes: what lay in a buffer would not be seen.
            bufsize=0,
            # Ctrl-C is for this process.
            start_new_session=True,
        )
        # From its first instruction: its imports alone are half a second.
        give_way(self._process.pid, wholly=wholly)
        self._closing = threading.Event()
        self._talk = threading.Lock()
        self._preparing = threading.Thread(
            target=self._prepare, name="release-child", daemon=True
        )
        self._preparing.start()

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def read(self, directory: Path, patience_seconds: float) -> bytes | None:
        """Returns its verdict of a release, None when it needs longer.

        Args:
            directory: the release.
            patience_seconds: for all of it, and for what it still has to import.
        Raises:
            UnavailableError: it ended without a verdict.
        """
        until = time.monotonic() + patience_seconds
        self._preparing.join(patience_seconds)
        if self._preparing.is_alive():
            return None
        with self._talk:
            if self.is_alive and not self._closing.is_set():
                self._ask(directory)
            return self._next_line(until)

    def close(self) -> None:
        """Ends it, whatever it does; a `read` under way then raises."""
        self._closing.set()
        self._process.kill()
        self._process.wait()
        with self._talk:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()

    def _prepare(self) -> None:
        """Lets it import what it needs, in turns as soon as these are safe."""
        # What ended it is told to who asks it.
        with self._talk, suppress(UnavailableError):
            # Before it says so it would stay stopped if this process died.
            self._next_line(float("inf"), may_rest=False)
            self._next_line(float("inf"))

    def _ask(self, directory: Path) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"directory": os.fspath(directory)}).encode()
        # What ended it is told by the line that does not come.
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")

    def _next_line(self, until: float, *, may_rest: bool = True) -> bytes | None:
        """Lets it run, and rest, until it says something; None when time is up."""
        stdout = self._process.stdout
        assert stdout is not None
        while time.monotonic() < until and not self._closing.is_set():
            if select.select([stdout], [], [], _RUN_SECONDS)[0]:
                line = stdout.readline()
                if line.endswith(b"\n"):
                    return bytes(line)
                break
            if may_rest:
                self._process.send_signal(signal.SIGSTOP)
                self._closing.wait(_REST_SECONDS)
                self._process.send_signal(signal.SIGCONT)
        else:
            if not self._closing.is_set():
                return None
        ended_with = self._process.wait()
        raise UnavailableError(f"who reads releases ended with {ended_with}")
