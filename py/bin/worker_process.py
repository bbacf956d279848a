"""One worker of a ranker that has several: start, what it says, drain, end."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stepwell.serving.admin_fan_out_servicer import WorkerView
from stepwell.serving.ready import Ready

SCRIPT = Path(__file__).with_name("ranker_main.py")


class WorkerProcess:
    """A child process that serves on the shared port.

    Concurrency: one event loop.
    """

    def __init__(
        self, number: int, process: asyncio.subprocess.Process, born_with: str
    ) -> None:
        self.number = number
        self.pid = process.pid
        self.born_with = born_with
        self.ready: Ready | None = None
        self.is_draining = False
        self.started_seconds = time.monotonic()
        self._process = process

    @classmethod
    async def start(
        cls,
        number: int,
        flags: Sequence[str],
        born_with: str,
        inherited: Sequence[int] = (),
    ) -> "WorkerProcess":
        """Starts a worker; it does not serve yet.

        Args:
            number: its place among the workers.
            flags: of ranker_main.
            born_with: what is pinned, as the flags say it too.
            inherited: descriptors that it gets, by the same numbers.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            *flags,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=inherited,
            # Ctrl-C is for the supervisor, which drains its workers.
            start_new_session=True,
        )
        return cls(number, process, born_with)

    async def serves(self) -> Ready | None:
        """Waits until it serves; None when it ended before."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self._process.wait()
            return None
        said = json.loads(line)
        fields = Ready.__dataclass_fields__
        self.ready = Ready(**{name: said[name] for name in fields})
        return self.ready

    async def ended(self) -> int:
        """Waits for its end; returns its exit status."""
        return await self._process.wait()

    async def drain(self, patience_seconds: float) -> None:
        """SIGTERM, and SIGKILL when it takes longer than it may."""
        self.is_draining = True
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), patience_seconds)
        except TimeoutError:
            self._send(signal.SIGKILL)
            await self._process.wait()

    def view(self, num_restarts: int) -> WorkerView:
        """Returns how it stands."""
        is_alive = self._process.returncode is None
        state = "SERVING" if self.ready is not None else "STARTING"
        if self.is_draining:
            state = "DRAINING"
        address = ""
        if self.ready is not None and is_alive:
            address = self.ready.admin_address
        return WorkerView(
            number=self.number,
            pid=self.pid if is_alive else 0,
            state=state if is_alive else "WAITING",
            num_restarts=num_restarts,
            admin_address=address,
        )

    def _send(self, number: signal.Signals) -> None:
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            return
