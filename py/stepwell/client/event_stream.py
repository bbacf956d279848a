"""Batches of events over one call, for threads."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import grpc

from stepwell.client.attempts import Attempts
from stepwell.client.messages import events_request
from stepwell.client.types import Event, Stored
from stepwell.client.unanswered_batches import (
    DEFAULT_MAX_UNANSWERED,
    UnansweredBatches,
    ended_early,
)
from stepwell_pb.v1 import feedback_pb2

_Outgoing = SimpleQueue[feedback_pb2.LogEventsRequest | None]


class EventStream:
    """Sends batch after batch; several are under way while the disk writes.

    A server that drains or is gone ends the call: a new one sends again what has no
    answer, by the client's retry policy. After an error that reaches the caller the
    stream goes on with the next `send` or `flush`.

    Args:
        method: begins a call, as a stub's method of streams does.
        new_attempts: bookkeeping of the calls that one answer may take.
        max_unanswered: batches under way at most.

    Concurrency: one thread.
    """

    def __init__(
        self,
        method: Callable[..., Any],
        new_attempts: Callable[[], Attempts],
        max_unanswered: int = DEFAULT_MAX_UNANSWERED,
    ) -> None:
        self._method = method
        self._unanswered = UnansweredBatches(new_attempts, max_unanswered)
        self._call: Any = None
        self._outgoing: _Outgoing = SimpleQueue()

    @property
    def num_unanswered(self) -> int:
        """Batches that were sent and not answered."""
        return len(self._unanswered)

    def send(self, events: Iterable[Event]) -> None:
        """Sends a batch; returns before it is durable.

        Waits for an answer where `max_unanswered` batches have none.

        Args:
            events: 1..1,000; all are stored or none.
        Raises:
            StepwellError: of a batch before this one, as `flush`; this one is not sent.
        """
        request = events_request(events)
        while self._unanswered.is_full:
            self._take_answer()
        self._unanswered.add(request)
        if self._call is None:
            self._begin_call()
        else:
            self._outgoing.put(request)

    def flush(self) -> Stored:
        """Returns once all that was sent is on disk, with the sum of all answers.

        Raises:
            InvalidArgumentError: an event of the oldest batch breaks a limit; that
                batch is given up.
            StepwellError: a server cannot be reached, or not store; what has no answer
                is kept.
        """
        while self._unanswered:
            self._take_answer()
        return self._unanswered.stored

    def close(self) -> None:
        """Ends the call; of batches without an answer nobody knows what was stored."""
        if self._call is not None and not self._unanswered:
            self._outgoing.put(None)
            # The server's end; nothing of ours hangs on it any more.
            with suppress(grpc.RpcError):
                next(self._call, None)
        self._end_call()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()

    def _take_answer(self) -> None:
        """Waits for the answer to the oldest batch, over as many calls as it takes."""
        while True:
            try:
                if self._call is None:
                    self._begin_call()
                self._unanswered.answered(next(self._call))
                return
            except StopIteration:
                self._end_call()
                raise ended_early() from None
            except grpc.RpcError as error:
                self._end_call()
                time.sleep(self._unanswered.pause_after(error))

    def _begin_call(self) -> None:
        self._unanswered.begin_attempt()
        self._outgoing = SimpleQueue()
        for request in self._unanswered:
            self._outgoing.put(request)
        self._call = self._method(iter(self._outgoing.get, None))

    def _end_call(self) -> None:
        # gRPC's thread waits for the next batch.
        self._outgoing.put(None)
        if self._call is not None:
            self._call.cancel()
        self._call = None
