"""Phases of the demo: each says what it does and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class PhaseTimer:
    """Prints a heading a phase and keeps its seconds in `seconds`, in order."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, what: str) -> Iterator[None]:
        """Times the block under `name`; a phase that fails is timed too."""
        self._console.print(f"[bold]{name}[/bold]  {what}")
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - started, 2)
            self._console.print(f"[dim]{name} took {self.seconds[name]:.1f} s[/dim]\n")
