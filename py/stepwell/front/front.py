"""The callers' port: gRPC over HTTP/2 by one thread that never needs the interpreter.

    queue = AdmissionQueue(512)
    front = Front(FrontOptions(), [Method("/pkg.Service/Method", queued=True)], queue)
    front.listen()
    while (call := queue.take()) is not None:
        call.answer(b"...")

Calls of queued methods wait in the queue. Those of all others, messages of streams and
the news of a caller who went come to the side. Requests over a limit, unknown methods,
what is no gRPC, and whom the queue does not take are answered without Python. Messages
are not compressed.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.call import Call
from stepwell.front.extension import load_extension
from stepwell.front.options import EntryLimit, FrontCounters, FrontOptions, Method
from stepwell.front.siblings import SiblingSeat

__all__ = [
    "EntryLimit",
    "Front",
    "FrontCounters",
    "FrontOptions",
    "Method",
    "SideEvent",
    "SideKind",
]

_COUNTERS = tuple(field.name for field in fields(FrontCounters))


class SideKind(enum.IntEnum):
    """What happened to a call of the side."""

    MESSAGE = 0
    """A message came; of a unary method the whole request."""
    HALF_CLOSED = 1
    """The caller of a stream sends nothing more."""
    CANCELLED = 2
    """The caller has gone before the end; the last event of a call."""


class SideEvent(NamedTuple):
    """One event of a call that is not queued.

    All events of a call bring the same object as long as somebody holds it.
    """

    call: Call
    kind: SideKind
    message: bytes


class Front:
    """A port with its methods.

    The port is bound when the front is made, unless it is shared: then `listen` does
    it, so that the system sends nobody here before.

    Args:
        options: address and bounds.
        methods: what is served; their places are `Call.method`.
        queue: takes the calls of queued methods.
        seat: among fronts of other processes on a shared port, which have as many
            connections each. Its descriptors are the front's from here on.

    Raises:
        InvalidArgumentError: an option or method is out of range, or the seat is
            none; names what.
        UnavailableError: the port cannot be had.

    Concurrency: thread-safe; `listen`, `drain` and `close` one after another. `listen`,
        `drain`, `wait_idle` and `close` run without the GIL.
    Cost: a thread named "front"; up to a few hundred bytes a waiting call beside its
        message.
    """

    def __init__(
        self,
        options: FrontOptions,
        methods: Sequence[Method],
        queue: AdmissionQueue,
        seat: SiblingSeat | None = None,
    ) -> None:
        native = load_extension()
        self._native = native.Front(
            _filled(native.FrontOptions(), options),
            [_filled(native.MethodOptions(), method) for method in methods],
            queue.native,
            seat,
        )

    @property
    def port(self) -> int:
        """The port, 0 before it is bound."""
        port: int = self._native.port
        return port

    @property
    def side_fd(self) -> int:
        """The front's own file descriptor, readable while side events wait."""
        descriptor: int = self._native.side_fd
        return descriptor

    def listen(self) -> None:
        """Takes connections from now on; once.

        Raises:
            UnavailableError: the port cannot be had.
        """
        self._native.listen()

    def take_side(self) -> list[SideEvent]:
        """Returns the side events that wait, oldest first."""
        return [
            SideEvent(call, SideKind(kind), message)
            for call, kind, message in self._native.take_side()
        ]

    def drain(self) -> None:
        """Closes the port and asks all callers to go; calls under way are served.

        Calls that come later are refused in a way that is safe to retry elsewhere.
        """
        self._native.drain()

    def wait_idle(self, timeout_seconds: float | None = None) -> bool:
        """Waits until no call is open and every answer was handed to the system.

        Returns:
            False on timeout.
        """
        is_idle: bool = self._native.wait_idle(
            math.inf if timeout_seconds is None else timeout_seconds
        )
        return is_idle

    def close(self) -> None:
        """Ends open calls with UNAVAILABLE and closes everything; then does nothing."""
        self._native.close()

    def counters(self) -> FrontCounters:
        """Returns what was counted so far. Cost: about 5 us."""
        counters = self._native.counters()
        return FrontCounters(*(getattr(counters, name) for name in _COUNTERS))


def _filled(native: Any, options: FrontOptions | Method) -> Any:
    for field in fields(options):
        setattr(native, field.name, getattr(options, field.name))
    return native
