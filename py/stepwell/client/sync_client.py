"""The client for threads."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from stepwell.client.attempts import (
    CHANNEL_OPTIONS,
    Attempts,
    ClientOptions,
    new_budget,
)
from stepwell.client.event_stream import EventStream
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

M = TypeVar("M")
R = TypeVar("R")


class RecommendClient:
    """Asks a ranker; every call has a deadline and a share of one retry budget.

    Errors are those of stepwell.base.errors: InvalidArgumentError names the field,
    ResourceExhaustedError carries `retry_after_ms`, DeadlineExceededError and
    UnavailableError say that there was no answer.

    Args:
        address: HOST:PORT of a ranker.
        options: settings.
        channel: used in place of a plain-text one to `address`, such as one with TLS;
            `close` closes it.

    Concurrency: thread-safe; one client serves a whole process.
    """

    def __init__(
        self,
        address: str,
        options: ClientOptions | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        self._options = options or ClientOptions()
        self._budget = new_budget(self._options)
        self._channel = channel or grpc.insecure_channel(address, CHANNEL_OPTIONS)
        self._recommend = recommend_pb2_grpc.RecommendServiceStub(self._channel)
        self._feedback = feedback_pb2_grpc.FeedbackServiceStub(self._channel)

    def recommend(
        self,
        user_id: str,
        num_items: int = 10,
        *,
        exclude_item_ids: Iterable[str] = (),
        deadline_ms: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Returns what the user should see.

        Args:
            user_id: who asks, 1..256 bytes.
            num_items: K, 1..500.
            exclude_item_ids: items never to show, at most 1,000.
            deadline_ms: of this call, all attempts together.
            options: see RequestOptions.
        Raises:
            StepwellError: see the class.
        """
        request = recommend_request(user_id, num_items, exclude_item_ids, options)
        attempts = self._attempts(deadline_ms)
        tell_deadline(request, attempts.deadline_ms)
        response = _called(self._recommend.Recommend, request, attempts)
        return answer_of(response, attempts.number)

    def rank(
        self,
        user_id: str,
        item_ids: Iterable[str],
        num_items: int = 0,
        *,
        deadline_ms: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Returns the caller's own candidates, best first.

        Args:
            user_id: who asks, 1..256 bytes.
            item_ids: the candidates, 1..2,000; order does not matter.
            num_items: items wanted, 0..500; 0 means all.
            deadline_ms: of this call, all attempts together.
            options: see RequestOptions.
        Raises:
            StepwellError: see the class.
        """
        request = rank_request(user_id, item_ids, num_items, options)
        attempts = self._attempts(deadline_ms)
        tell_deadline(request, attempts.deadline_ms)
        response = _called(self._recommend.Rank, request, attempts)
        return answer_of(response, attempts.number)

    def log_events(
        self, events: Iterable[Event], *, deadline_ms: int | None = None
    ) -> Stored:
        """Hands events over; on return every one of them is on disk.

        Args:
            events: 1..1,000; all are stored or none.
            deadline_ms: of this call, all attempts together. When it passes, nobody
                knows what was stored: send the same events again.
        Raises:
            StepwellError: see the class.
        """
        request = events_request(events)
        attempts = self._attempts(deadline_ms)
        return stored_of(_called(self._feedback.LogEvents, request, attempts))

    def event_stream(
        self,
        max_unanswered: int = DEFAULT_MAX_UNANSWERED,
        *,
        deadline_ms: int | None = None,
    ) -> EventStream:
        """Returns a stream for batches of events, each acknowledged once durable.

            with client.event_stream() as stream:
                for batch in batches:
                    stream.send(batch)

        Args:
            max_unanswered: batches under way at most; a server may refuse more than 64.
            deadline_ms: within which a server is found again after one was lost; the
                stream itself has none.
        """
        return EventStream(
            self._feedback.LogEventsStream,
            lambda: self._attempts(deadline_ms),
            max_unanswered,
        )

    def close(self) -> None:
        """Closes the channel; calls in flight fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _attempts(self, deadline_ms: int | None) -> Attempts:
        return Attempts(self._options, self._budget, deadline_ms)


def _called(method: Callable[..., R], request: object, attempts: Attempts) -> R:
    while True:
        try:
            timeout = attempts.begin()
            waits = attempts.waits_for_connection
            return method(request, timeout=timeout, wait_for_ready=waits)
        except grpc.RpcError as error:
            time.sleep(attempts.pause_after(error))
