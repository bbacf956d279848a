"""One call of a caller: what it asked, and the one way to answer it.

    call = queue.take(1.0)
    call.answer(response.SerializeToString())

What the caller gets: the first `answer` or `fail` counts and later ones do nothing, as
does everything once the caller has gone. A call that nobody ends stays open until the
front is closed.
"""

import time
from collections.abc import Iterable
from typing import Protocol

from stepwell.front.extension import load_extension

Metadata = tuple[tuple[str, str | bytes], ...]
"""Names in lower case; values are bytes where the name ends in "-bin"."""

Outcome = bytes | tuple[int, str, Metadata] | None
"""The answer, or code, message and trailers of a failure; None while it is open."""


class Call(Protocol):
    """A call as the front hands it out; all times in microseconds of the steady clock.

    The steady clock is `time.monotonic_ns() // 1000`.

    Concurrency: thread-safe; what was asked never changes.
    Cost: 0.1 us an attribute; `message` and `metadata` are made anew at every reading.
    """

    @property
    def method(self) -> int:
        """The place of its method in the list that the front was given."""
        ...

    @property
    def message(self) -> bytes:
        """The request, serialised; empty where there is an excess."""
        ...

    @property
    def excess(self) -> tuple[int, int] | None:
        """A list of the request that is too long: its field, and how many it has.

        By the method's `entry_limits`; None when all are kept.
        """
        ...

    @property
    def arrived_us(self) -> int:
        """When the read returned that brought the end of the request."""
        ...

    @property
    def deadline_us(self) -> int | None:
        """When nobody listens any more: the earlier of what gRPC and the message say.

        None when neither says anything.
        """
        ...

    @property
    def has_deadline(self) -> bool:
        """The caller has set gRPC's own deadline."""
        ...

    @property
    def priority(self) -> int:
        """0 goes first, 2 last."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What the caller sent beside the message, without what gRPC itself needs."""
        ...

    @property
    def is_cancelled(self) -> bool:
        """The caller has gone or wants no answer any more; stays true."""
        ...

    def answer(self, message: bytes, /) -> None:
        """Ends the call with a serialised response. Cost: about 0.5 us and a copy."""
        ...

    def fail(
        self,
        code: int,
        message: str,
        trailers: Iterable[tuple[str, str | bytes]] = (),
        /,
    ) -> None:
        """Ends the call with a status.

        Args:
            code: of gRPC. 0 ends a streaming call well.
            message: for people, any text.
            trailers: names in lower case; binary values under names in "-bin".
        """
        ...

    def send(self, message: bytes, /) -> None:
        """Sends one message of a streaming method."""
        ...


class LocalCall(Call, Protocol):
    """A call that came over no connection: its outcome can be read."""

    def outcome(self) -> Outcome:
        """Returns how it ended, None while it is open."""
        ...

    def sent(self) -> list[bytes]:
        """Returns the messages of a stream so far."""
        ...

    def cancel(self) -> None:
        """Does what a caller does who goes away."""
        ...


def local_call(
    method: int,
    message: bytes,
    *,
    arrived_us: int | None = None,
    deadline_us: int | None = None,
    priority: int = 0,
    key: str = "",
    is_forced: bool = False,
    metadata: Iterable[tuple[str, str | bytes]] = (),
    excess: tuple[int, int] | None = None,
) -> LocalCall:
    """Returns a call for tests of what takes and answers calls.

    Args:
        method: place of the method.
        message: the request, serialised.
        arrived_us: now by default.
        deadline_us: gRPC's own; without it there is none.
        priority: 0 to 2.
        key: whose hash decides who gives way in a full queue.
        is_forced: it asks for one tier, so that a standing queue does not refuse it.
        metadata: as the caller would send it.
        excess: field and entries of a list that is too long.
    """
    call: LocalCall = load_extension().local_call(
        method,
        message,
        time.monotonic_ns() // 1_000 if arrived_us is None else arrived_us,
        deadline_us,
        priority,
        key,
        is_forced,
        metadata,
        excess or (0, 0),
    )
    return call
