"""The client for asyncio: the same calls, awaited."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from stepwell.client.async_event_stream import AsyncEventStream
from stepwell.client.attempts import (
    CHANNEL_OPTIONS,
    Attempts,
    ClientOptions,
    new_budget,
)
from stepwell.client.messages import (
    RequestOptions,
    answer_of,
    events_request,
    rank_request,
    recommend_request,
    stored_of,
    tell_deadline,
)
from stepwell.client.types import Answer, Event, Stored
from stepwell.client.unanswered_batches import DEFAULT_MAX_UNANSWERED
from stepwell_pb.v1 import feedback_pb2_grpc, recommend_pb2_grpc

R = TypeVar("R")


class AsyncRecommendClient:
    """As RecommendClient, with the same arguments, answers and errors.

    Args:
        address, options: as there.
        channel: a grpc.aio channel used in place of a plain-text one to `address`.

    Concurrency: one event loop, that on which it was made; any number of calls at once.
    """

    def __init__(
        self,
        address: str,
        options: ClientOptions | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        self._options = options or ClientOptions()
        self._budget = new_budget(self._options)
        self._channel = channel or grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
        # One stub class serves both kinds of channel; its types know one.
        channel_for_stub: Any = self._channel
        self._recommend: Any = recommend_pb2_grpc.RecommendServiceStub(channel_for_stub)
        self._feedback: Any = feedback_pb2_grpc.FeedbackServiceStub(channel_for_stub)

    async def recommend(
        self,
        user_id: str,
        num_items: int = 10,
        *,
        exclude_item_ids: Iterable[str] = (),
        deadline_ms: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Returns what the user should see; see RecommendClient.recommend."""
        request = recommend_request(user_id, num_items, exclude_item_ids, options)
        attempts = self._attempts(deadline_ms)
        tell_deadline(request, attempts.deadline_ms)
        response = await _called(self._recommend.Recommend, request, attempts)
        return answer_of(response, attempts.number)

    async def rank(
        self,
        user_id: str,
        item_ids: Iterable[str],
        num_items: int = 0,
        *,
        deadline_ms: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Returns the caller's candidates, best first; see RecommendClient.rank."""
        request = rank_request(user_id, item_ids, num_items, options)
        attempts = self._attempts(deadline_ms)
        tell_deadline(request, attempts.deadline_ms)
        response = await _called(self._recommend.Rank, request, attempts)
        return answer_of(response, attempts.number)

    async def log_events(
        self, events: Iterable[Event], *, deadline_ms: int | None = None
    ) -> Stored:
        """Hands events over durably; see RecommendClient.log_events."""
        request = events_request(events)
        attempts = self._attempts(deadline_ms)
        return stored_of(await _called(self._feedback.LogEvents, request, attempts))

    def event_stream(
        self,
        max_unanswered: int = DEFAULT_MAX_UNANSWERED,
        *,
        deadline_ms: int | None = None,
    ) -> AsyncEventStream:
        """Returns a stream for batches of events; see RecommendClient.event_stream."""
        return AsyncEventStream(
            self._feedback.LogEventsStream,
            lambda: self._attempts(deadline_ms),
            max_unanswered,
        )

    async def close(self) -> None:
        """Closes the channel; calls in flight fail."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _attempts(self, deadline_ms: int | None) -> Attempts:
        return Attempts(self._options, self._budget, deadline_ms)


async def _called(
    method: Callable[..., Awaitable[R]], request: object, attempts: Attempts
) -> R:
    while True:
        try:
            timeout = attempts.begin()
            waits = attempts.waits_for_connection
            return await method(request, timeout=timeout, wait_for_ready=waits)
        except grpc.RpcError as error:
            await asyncio.sleep(attempts.pause_after(error))
