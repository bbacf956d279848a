"""One long command at a time, with its progress on one line; standard library only."""

import subprocess
import sys
import time
from pathlib import Path
from typing import IO

# Off a terminal a line is printed this often, so that a log shows life.
QUIET_LINE_S = 15.0


class Step:
    """A command whose output goes to a log while a person sees a count and the time.

    Args:
        label: what is done, in words.
        log: output is appended to this file.
        out: where progress goes; a line is rewritten only on a terminal.
    """

    def __init__(self, label: str, log: Path, out: IO[str] = sys.stderr) -> None:
        self._label = label
        self._log = log
        self._out = out
        self._shown = -QUIET_LINE_S

    def run(
        self,
        command: list[str | Path],
        environment: dict[str, str] | None = None,
        counted: str = "",
        total: int = 0,
    ) -> None:
        """Runs to the end; lines that start with `counted` move the count up.

        Raises:
            subprocess.CalledProcessError: it failed; `output` is its last 40 lines.
        """
        start = time.monotonic()
        tail: list[str] = []
        count = 0
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        self._show(start, count, total)
        with self._log.open("a") as log:
            for line in process.stdout:
                log.write(line)
                tail = [*tail[-39:], line]
                count += bool(counted) and line.startswith(counted)
                self._show(start, count, total)
        status = process.wait()
        self._finish(start, "done" if status == 0 else f"failed ({status})")
        if status:
            raise subprocess.CalledProcessError(status, command, "".join(tail))

    def _show(self, start: float, count: int, total: int) -> None:
        elapsed = time.monotonic() - start
        every = 0.2 if self._out.isatty() else QUIET_LINE_S
        if elapsed - self._shown < every:
            return
        self._shown = elapsed
        progress = f" {count}/{total}" if total else f" {count}" if count else ""
        self._write(f"stepwell: {self._label} ...{progress} {elapsed:.0f} s")

    def _finish(self, start: float, how: str) -> None:
        elapsed = time.monotonic() - start
        self._write(f"stepwell: {self._label}: {how} in {elapsed:.0f} s")
        if self._out.isatty():
            self._out.write("\n")
            self._out.flush()

    def _write(self, text: str) -> None:
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{text}")
        else:
            self._out.write(f"{text}\n")
        self._out.flush()
