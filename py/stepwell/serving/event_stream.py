"""One producer's stream of batches: each answered in its turn, once it is durable."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future

from stepwell.base.errors import ResourceExhaustedError
from stepwell.stores.event_log import AppendReceipt
from stepwell_pb.v1 import feedback_pb2

MAX_PENDING = 16
"""Batches of one stream that wait for the disk; no further one is read."""

PATIENCE_S = 5.0
"""How long a batch waits for room in the log's queue."""

Submit = Callable[[feedback_pb2.LogEventsRequest], "Future[AppendReceipt]"]
_Batch = asyncio.Future[AppendReceipt] | Exception | None
"""Under way, or why no further one follows: an error, or the producer's end."""

_Pending = asyncio.Queue[_Batch]


async def durable_batches(
    requests: AsyncIterator[feedback_pb2.LogEventsRequest], submit: Submit
) -> AsyncGenerator[AppendReceipt, None]:
    """Yields the receipt of every batch, in the order of the batches.

    Batches are read ahead of their receipts, so that one sync of the disk serves many.
    While MAX_PENDING wait, or the log's queue is full, nothing is read: the producer
    feels it by its transport's windows.

    Args:
        requests: the batches; an error of theirs comes behind the receipts of those
            before it.
        submit: checks a batch and hands it to the log.
    Raises:
        StepwellError: of a batch, once those before it have their receipts. Batches
            behind it may be durable too; nobody was told.
    """
    pending: _Pending = asyncio.Queue()
    room = asyncio.Semaphore(MAX_PENDING)
    reading = asyncio.create_task(_read(requests, submit, pending, room))
    try:
        while (batch := await pending.get()) is not None:
            if isinstance(batch, Exception):
                raise batch
            yield await asyncio.shield(batch)
            room.release()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        while not pending.empty():
            _give_up(pending.get_nowait())


async def _read(
    requests: AsyncIterator[feedback_pb2.LogEventsRequest],
    submit: Submit,
    pending: _Pending,
    room: asyncio.Semaphore,
) -> None:
    end: Exception | None = None
    try:
        await room.acquire()
        async for request in requests:
            pending.put_nowait(await _submitted(request, submit))
            await room.acquire()
    except Exception as error:  # noqa: BLE001 - whoever waits for the receipts has it
        end = error
    pending.put_nowait(end)


async def _submitted(
    request: feedback_pb2.LogEventsRequest, submit: Submit
) -> "asyncio.Future[AppendReceipt]":
    """Hands a batch to the log as soon as there is room."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_S
    while True:
        try:
            return asyncio.wrap_future(submit(request))
        except ResourceExhaustedError as error:
            if loop.time() >= until:
                raise
            await asyncio.sleep(error.retry_after_ms / 1_000)


def _give_up(batch: _Batch) -> None:
    """Nobody waits for a batch any more: if it failed, that is nobody's news."""
    if isinstance(batch, asyncio.Future) and not batch.cancel() and batch.done():
        batch.exception()
