"""RecommendService over the dispatcher."""

from typing import Any

import grpc

from stepwell.base.clock import Clock
from stepwell.serving.call import AnyRequest, budget_of, call_of
from stepwell.serving.dispatcher import Dispatcher
from stepwell.serving.limits import MAX_DEADLINE_MS
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import recommend_pb2, recommend_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
Response = recommend_pb2.RecommendResponse | recommend_pb2.RankResponse


class RecommendServicer(recommend_pb2_grpc.RecommendServiceServicer):
    """Checks a request, gives it its deadline, hands it to the dispatcher.

    Errors are raised as StepwellError; the border interceptor makes them statuses.

    Args:
        dispatcher: answers.
        clock: monotonic time.
        default_deadline_us: for a call that brings no deadline.

    Concurrency: one event loop.
    """

    def __init__(
        self, dispatcher: Dispatcher[Response], clock: Clock, default_deadline_us: int
    ) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._default_deadline_us = default_deadline_us

    async def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: _Context
    ) -> Response:
        """Retrieves, ranks and re-ranks items for a user."""
        return await self._answer(request, context)

    async def Rank(
        self, request: recommend_pb2.RankRequest, context: _Context
    ) -> Response:
        """Ranks the caller's own candidates for a user."""
        return await self._answer(request, context)

    async def _answer(self, request: AnyRequest, context: _Context) -> Response:
        now_us = self._clock.monotonic_us()
        check_message(request)
        budget_us = budget_of(
            request.deadline_ms, context.time_remaining(), self._default_deadline_us
        )
        budget_us = min(budget_us, MAX_DEADLINE_MS * 1_000)
        return await self._dispatcher.submit(
            call_of(request, now_us, now_us + budget_us)
        )
