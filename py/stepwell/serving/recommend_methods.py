"""RecommendService's methods: from a call's bytes to the bytes of its answer."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from stepwell.base.clock import Clock
from stepwell.base.metrics import Metrics
from stepwell.front.call import Call as FrontCall
from stepwell.front.front import Method
from stepwell.serving.call import (
    AnyRequest,
    Call,
    DeadlineRules,
    budget_of,
    call_of,
)
from stepwell.serving.method_border import MethodBorder
from stepwell.serving.validation import check_message, entry_limits
from stepwell_pb.v1 import recommend_pb2

_REQUESTS = (
    ("Recommend", recommend_pb2.RecommendRequest),
    ("Rank", recommend_pb2.RankRequest),
)


def _path(name: str) -> str:
    service = recommend_pb2.DESCRIPTOR.services_by_name["RecommendService"]
    return f"/{service.full_name}/{name}"


def _method(name: str, request: Any) -> Method:
    """The method, with the fields that admission reads off the wire."""
    fields = request.DESCRIPTOR.fields_by_name
    return Method(
        path=_path(name),
        queued=True,
        priority_field=fields["priority"].number,
        deadline_ms_field=fields["deadline_ms"].number,
        key_field=fields["user_id"].number,
        forced_field=fields["forced_tier"].number,
        entry_limits=entry_limits(request),
    )


METHODS: Sequence[Method] = tuple(_method(*entry) for entry in _REQUESTS)
"""The front's first methods, in this order: a call tells its method by number."""


class Responding(Protocol):
    """Answers what passed the checks. Concurrency: thread-safe."""

    def respond(self, call: Call, /) -> bytes:
        """Returns the serialized response; errors are raised as StepwellError."""
        ...


class RecommendMethods:
    """Recommend and Rank: parsed, checked, answered; an error becomes its status.

    Args:
        tiered: answers what passed the checks.
        deadlines: for calls that bring none.
        clock: monotonic time of the ranker.
        metrics: calls by method and code, and their times.

    Concurrency: called from every worker, each with its own call.
    Cost: about 25 us beside the answer itself.
    """

    def __init__(
        self,
        tiered: Responding,
        deadlines: DeadlineRules,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._tiered = tiered
        self._deadlines = deadlines
        self._clock = clock
        self._borders: list[MethodBorder[Any]] = [
            MethodBorder(metrics, _path(name), request) for name, request in _REQUESTS
        ]

    def __call__(self, taken: FrontCall) -> None:
        """Answers a call that was taken from the queue just now, whatever happens."""
        border = self._borders[taken.method]
        try:
            border.check_entries(taken)
            taken.answer(self._response(taken, border.parsed(taken.message)))
            code = grpc.StatusCode.OK
        except Exception as error:  # noqa: BLE001 - the border: none may pass
            status = border.failure(error, taken.metadata)
            code = status.code
            taken.fail(code.value[0], status.message, status.metadata)
        border.count(code, _waited_us(taken) / 1e6)

    def _response(self, taken: FrontCall, request: AnyRequest) -> bytes:
        check_message(request)
        given_us = None
        if taken.deadline_us is not None and (
            taken.has_deadline or request.deadline_ms
        ):
            given_us = taken.deadline_us - taken.arrived_us
        budget_us = budget_of(given_us, self._deadlines)
        # The front tells the machine's time, the ladder goes by the ranker's clock.
        arrived_us = self._clock.monotonic_us() - _waited_us(taken)
        call = call_of(
            request, arrived_us, arrived_us + budget_us, lambda: taken.is_cancelled
        )
        return self._tiered.respond(call)


def _waited_us(taken: FrontCall) -> int:
    """Microseconds since the call arrived."""
    return time.monotonic_ns() // 1_000 - taken.arrived_us
