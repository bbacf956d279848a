"""What a stream reads ahead, in which order it answers, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from stepwell.base.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from stepwell.serving import event_stream
from stepwell.serving.event_stream import MAX_PENDING, durable_batches
from stepwell.stores.event_log import AppendReceipt
from stepwell_pb.v1 import feedback_pb2


@dataclass
class _Disk:
    """A log whose syncs the test does.

    Attributes:
        errors: raised by the next submits, one each, before any is taken.
        batches: taken so far, in their order.
    """

    errors: list[Exception] = field(default_factory=list)
    batches: "list[Future[AppendReceipt]]" = field(default_factory=list)

    def submit(self, request: feedback_pb2.LogEventsRequest) -> "Future[AppendReceipt]":
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(Future())
        return self.batches[-1]

    def sync(self, place: int) -> None:
        self.batches[place].set_result(AppendReceipt((place,), 1))


@dataclass
class _Producer:
    """Sends batches one after the other for as long as they are read."""

    num_batches: int
    error: Exception | None = None
    num_read: int = 0

    async def batches(self) -> AsyncIterator[feedback_pb2.LogEventsRequest]:
        for _ in range(self.num_batches):
            self.num_read += 1
            yield feedback_pb2.LogEventsRequest()
        if self.error is not None:
            raise self.error


async def _until_idle() -> None:
    """Lets every task run until it waits for somebody else."""
    for _ in range(10 * MAX_PENDING):
        await asyncio.sleep(0)


def _offsets(receipts: list[AppendReceipt]) -> list[int]:
    return [receipt.offsets[0] for receipt in receipts]


async def test_no_batch_is_read_while_so_many_wait_for_the_disk() -> None:
    disk, producer = _Disk(), _Producer(3 * MAX_PENDING)
    receipts = durable_batches(producer.batches(), disk.submit)
    first = asyncio.ensure_future(anext(receipts))
    await _until_idle()
    assert producer.num_read == len(disk.batches) == MAX_PENDING
    disk.sync(0)
    assert (await first).offsets == (0,)
    # Whoever does not take the next answer is read no further either.
    disk.sync(1)
    await _until_idle()
    assert producer.num_read == MAX_PENDING
    assert (await anext(receipts)).offsets == (1,)
    await _until_idle()
    assert producer.num_read == MAX_PENDING + 1
    await receipts.aclose()


async def test_answers_keep_the_order_of_the_batches_whatever_the_disk_does() -> None:
    disk = _Disk()
    answering = asyncio.ensure_future(_all(_Producer(5), disk))
    await _until_idle()
    for place in (4, 2, 0, 3, 1):
        disk.sync(place)
        await _until_idle()
    assert _offsets(await answering) == [0, 1, 2, 3, 4]


async def _all(producer: _Producer, disk: _Disk) -> list[AppendReceipt]:
    return [r async for r in durable_batches(producer.batches(), disk.submit)]


async def test_a_batch_waits_until_the_logs_queue_has_room() -> None:
    full = ResourceExhaustedError("the queue is full", retry_after_ms=1)
    disk = _Disk([full] * 3)
    answering = asyncio.ensure_future(_all(_Producer(1), disk))
    while not disk.batches:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    disk.sync(0)
    assert len(await answering) == 1


async def test_a_queue_that_stays_full_ends_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "PATIENCE_S", 0.0)
    full = ResourceExhaustedError("the queue is full", retry_after_ms=1)
    with pytest.raises(ResourceExhaustedError, match="the queue is full"):
        await _all(_Producer(1), _Disk([full]))


@pytest.mark.parametrize("error", [InvalidArgumentError("bad"), ValueError("a bug")])
async def test_an_error_comes_behind_the_answers_before_it(error: Exception) -> None:
    disk = _Disk()
    receipts = durable_batches(_Producer(2, error).batches(), disk.submit)
    first = asyncio.ensure_future(anext(receipts))
    await _until_idle()
    for place in (0, 1):
        disk.sync(place)
    assert (await first).offsets == (0,)
    assert (await anext(receipts)).offsets == (1,)
    with pytest.raises(type(error)):
        await anext(receipts)


async def test_a_disk_that_fails_ends_the_stream_and_what_waits_is_given_up() -> None:
    disk = _Disk()
    answering = asyncio.ensure_future(_all(_Producer(3), disk))
    await _until_idle()
    disk.batches[2].set_exception(UnavailableError("EIO"))
    disk.batches[0].set_exception(UnavailableError("EIO"))
    with pytest.raises(UnavailableError, match="EIO"):
        await answering
    assert disk.batches[1].cancelled()


async def test_a_producer_that_leaves_takes_nothing_back() -> None:
    disk = _Disk()
    answering = asyncio.ensure_future(_all(_Producer(1), disk))
    await _until_idle()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    # It was on its way to the disk; who sends it again finds it there, or not.
    assert not disk.batches[0].cancelled()
