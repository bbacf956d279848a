"""RecommendService over the dispatcher."""

from collections.abc import Callable
from typing import Any

import grpc

from stepwell.base.clock import Clock
from stepwell.serving.call import (
    AnyRequest,
    DeadlineRules,
    arrival_us,
    budget_of,
    call_of,
)
from stepwell.serving.dispatcher import Dispatcher
from stepwell.serving.limits import MAX_DEADLINE_MS
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import recommend_pb2, recommend_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]


class RecommendServicer(recommend_pb2_grpc.RecommendServiceServicer):
    """Checks a request, gives it its deadline, hands it to the dispatcher.

    Errors are raised as StepwellError; the border makes them statuses. Responses are
    serialized already.

    Args:
        dispatcher: answers.
        clock: monotonic time.
        deadlines: for calls that bring none.
        lag_us: how long a call that is handled now may have waited for the event loop.

    Concurrency: one event loop.
    """

    def __init__(
        self,
        dispatcher: Dispatcher[bytes],
        clock: Clock,
        deadlines: DeadlineRules,
        lag_us: Callable[[], int] = lambda: 0,
    ) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._deadlines = deadlines
        self._lag_us = lag_us

    async def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: _Context
    ) -> bytes:
        """Retrieves, ranks and re-ranks items for a user."""
        return await self._answer(request, context)

    async def Rank(
        self, request: recommend_pb2.RankRequest, context: _Context
    ) -> bytes:
        """Ranks the caller's own candidates for a user."""
        return await self._answer(request, context)

    async def _answer(self, request: AnyRequest, context: _Context) -> bytes:
        now_us = self._clock.monotonic_us()
        check_message(request)
        given_ms, left_seconds = request.deadline_ms, context.time_remaining()
        budget_us = budget_of(given_ms, left_seconds, self._deadlines)
        deadline_us = now_us + min(budget_us, MAX_DEADLINE_MS * 1_000)
        arrived_us = arrival_us(now_us, self._lag_us(), given_ms, left_seconds)
        return await self._dispatcher.submit(call_of(request, arrived_us, deadline_us))
