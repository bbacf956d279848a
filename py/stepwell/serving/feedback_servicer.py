"""FeedbackService over the event log: an answer means the events are on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any

import grpc

from stepwell.base.clock import Clock
from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metric_names import (
    EVENT_BATCHES_REFUSED,
    EVENTS_DUPLICATE,
    EVENTS_STORED,
)
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import IMPRESSION_PREFIX, event_record
from stepwell.schema.feature_row import MAX_AHEAD_SECONDS
from stepwell.serving.event_stream import durable_batches
from stepwell.serving.validation import check_message
from stepwell.stores.event_log import AppendReceipt, EventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2, feedback_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]


class FeedbackServicer(feedback_pb2_grpc.FeedbackServiceServicer):
    """Checks a batch, appends it, and answers when it is durable.

    Args:
        log: where events go.
        clock: event time for events that bring none, and the time of ingestion.
        metrics: events stored and repeated, batches refused.
        on_stored: brings new events into effect; called off the event loop, after a
            batch is durable and before it is acknowledged. Streams do not wait for it.
            None where another process does.

    Concurrency: one event loop; waits for the disk without holding it.
    """

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        metrics: Metrics,
        on_stored: Callable[[], None] | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._on_stored = on_stored
        self._stirring: asyncio.Future[None] | None = None

    async def LogEvents(
        self, request: feedback_pb2.LogEventsRequest, context: _Context
    ) -> feedback_pb2.LogEventsResponse:
        """Appends a batch, all or nothing."""
        # Shielded: what was submitted may become durable even if the caller has gone.
        pending = asyncio.wrap_future(self._submit(request))
        answer = self._answer(await asyncio.shield(pending))
        if self._on_stored is not None:
            await asyncio.to_thread(self._on_stored)
        return answer

    async def LogEventsStream(
        self,
        requests: AsyncIterator[feedback_pb2.LogEventsRequest],
        context: _Context,
    ) -> AsyncIterator[feedback_pb2.LogEventsResponse]:
        """Appends batch after batch; an answer waits for the disk and nothing else."""
        async with aclosing(durable_batches(requests, self._submit)) as receipts:
            async for receipt in receipts:
                self._stir()
                yield self._answer(receipt)

    def _submit(
        self, request: feedback_pb2.LogEventsRequest
    ) -> "Future[AppendReceipt]":
        """Checks a batch and hands it to the log."""
        now_seconds = self._clock.event_seconds()
        try:
            _check(request, now_seconds + MAX_AHEAD_SECONDS)
        except InvalidArgumentError as error:
            self._metrics.add(EVENT_BATCHES_REFUSED, error.field.rpartition(".")[2])
            raise
        for event in request.events:
            event.event_time_seconds = event.event_time_seconds or now_seconds
        ingested_us = self._clock.wall_us()
        records = [event_record(event, ingested_us) for event in request.events]
        return self._log.submit(records)

    def _answer(self, receipt: AppendReceipt) -> feedback_pb2.LogEventsResponse:
        self._metrics.add(EVENTS_STORED, amount=receipt.num_stored)
        self._metrics.add(EVENTS_DUPLICATE, amount=receipt.num_duplicates)
        return feedback_pb2.LogEventsResponse(
            num_stored=receipt.num_stored, num_duplicates=receipt.num_duplicates
        )

    def _stir(self) -> None:
        """Lets new events take effect while streams go on; one such call at a time."""
        if self._on_stored is not None and (
            self._stirring is None or self._stirring.done()
        ):
            stirring = asyncio.to_thread(self._on_stored)
            self._stirring = asyncio.ensure_future(stirring)


def _check(request: feedback_pb2.LogEventsRequest, latest_seconds: int) -> None:
    check_message(request)
    for place, event in enumerate(request.events):
        prefix = f"events[{place}]."
        check_message(event, prefix)
        if event.event_type == common_pb2.EVENT_TYPE_UNSPECIFIED:
            path = f"{prefix}event_type"
            text = f"{path} is EVENT_TYPE_UNSPECIFIED, must say what happened"
            raise InvalidArgumentError(text, path)
        if event.event_time_seconds > latest_seconds:
            # A user's history would never get older than such an event.
            path = f"{prefix}event_time_seconds"
            text = (
                f"{path} is {event.event_time_seconds}, must be in "
                f"[0, {latest_seconds}] s: now and a day"
            )
            raise InvalidArgumentError(text, path)
        if event.event_id.startswith(IMPRESSION_PREFIX):
            # The log would then hold the server's own line for a repeated one.
            path = f"{prefix}event_id"
            text = f"{path} begins with {IMPRESSION_PREFIX!r}, the server's own ids do"
            raise InvalidArgumentError(text, path)
