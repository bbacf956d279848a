"""Batches of events over one call, for asyncio."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
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


class AsyncEventStream:
    """As EventStream, with the same arguments, answers and errors; awaited.

    Concurrency: one task.
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
        self._num_written = 0  # of those unanswered, by this call
        self._follows_failure = False

    @property
    def num_unanswered(self) -> int:
        """Batches that were sent and not answered."""
        return len(self._unanswered)

    async def send(self, events: Iterable[Event]) -> None:
        """Sends a batch; see EventStream.send."""
        request = events_request(events)
        while self._unanswered.is_full:
            await self._take_answer()
        self._unanswered.add(request)
        await self._write()

    async def flush(self) -> Stored:
        """Returns once all that was sent is on disk; see EventStream.flush."""
        while self._unanswered:
            await self._take_answer()
        return self._unanswered.stored

    async def close(self) -> None:
        """Ends the call; see EventStream.close."""
        if self._call is not None and not self._unanswered:
            with suppress(grpc.RpcError, asyncio.InvalidStateError):
                await self._call.done_writing()
                await self._call.read()
        self._end_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.flush()
        finally:
            await self.close()

    async def _take_answer(self) -> None:
        """Waits for the answer to the oldest batch, over as many calls as it takes."""
        while True:
            await self._write()
            try:
                response = await self._call.read()
            except grpc.RpcError as error:
                self._end_call()
                self._follows_failure = True
                pause_s = self._unanswered.pause_after(_of_the_server(error))
                await asyncio.sleep(pause_s)
                continue
            if not isinstance(response, feedback_pb2.LogEventsResponse):
                self._end_call()
                raise ended_early()
            self._unanswered.answered(response)
            self._num_written -= 1
            self._follows_failure = False
            return

    async def _write(self) -> None:
        """Writes what has not been, to a new call where there is none.

        After a failure the oldest batch goes alone: see `_of_the_server`.
        """
        if self._call is None:
            self._unanswered.begin_attempt()
            self._call = self._method()
            self._num_written = 0
        end = 1 if self._follows_failure else len(self._unanswered)
        # A call that takes no more has ended: why, its answers will say.
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            for request in tuple(islice(self._unanswered, self._num_written, end)):
                await self._call.write(request)
                self._num_written += 1

    def _end_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = None


def _of_the_server(error: grpc.RpcError) -> grpc.RpcError:
    """Returns what the server may have meant.

    Where a write finds that the call has ended before the client has read why, grpc.aio
    puts an error of its own in the place of the status. Then the next call tells: it
    writes one batch and nothing that could fail behind it.
    """
    internal = error.code() is grpc.StatusCode.INTERNAL
    if not internal or error.details() != "Internal error from Core":
        return error
    nothing = grpc.aio.Metadata()
    code = grpc.StatusCode.UNAVAILABLE
    return grpc.aio.AioRpcError(code, nothing, nothing, "the call ended", None)
