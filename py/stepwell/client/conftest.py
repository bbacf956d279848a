"""A real gRPC server on a free port whose answers a test scripts."""

import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from stepwell_pb.v1 import (
    feedback_pb2,
    feedback_pb2_grpc,
    recommend_pb2,
    recommend_pb2_grpc,
)


@dataclass
class Refusal:
    """A status to answer with."""

    code: grpc.StatusCode
    text: str = "scripted"
    metadata: tuple[tuple[str, str | bytes], ...] = ()


@dataclass
class Script:
    """What the server does: refusals first, one a call, then answers.

    Attributes:
        refusals: taken from the front, one a call.
        always: refuses every call once `refusals` are used up.
        requests: every message that arrived.
        arrived: set when the first has.
    """

    refusals: list[Refusal] = field(default_factory=list)
    always: Refusal | None = None
    answer: recommend_pb2.RecommendResponse = field(
        default_factory=recommend_pb2.RecommendResponse
    )
    ranked: recommend_pb2.RankResponse = field(
        default_factory=recommend_pb2.RankResponse
    )
    requests: list[Any] = field(default_factory=list)
    address: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)

    def take(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.arrived.set()
        refusal = self.refusals.pop(0) if self.refusals else self.always
        if refusal is not None:
            context.set_trailing_metadata(refusal.metadata)
            context.abort(refusal.code, refusal.text)


class _Recommend(recommend_pb2_grpc.RecommendServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: grpc.ServicerContext
    ) -> recommend_pb2.RecommendResponse:
        self._script.take(request, context)
        return self._script.answer

    def Rank(
        self, request: recommend_pb2.RankRequest, context: grpc.ServicerContext
    ) -> recommend_pb2.RankResponse:
        self._script.take(request, context)
        return self._script.ranked


class _Feedback(feedback_pb2_grpc.FeedbackServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    def LogEvents(
        self, request: feedback_pb2.LogEventsRequest, context: grpc.ServicerContext
    ) -> feedback_pb2.LogEventsResponse:
        self._script.take(request, context)
        return feedback_pb2.LogEventsResponse(num_stored=len(request.events))

    def LogEventsStream(
        self,
        requests: Iterator[feedback_pb2.LogEventsRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[feedback_pb2.LogEventsResponse]:
        for request in requests:
            yield self.LogEvents(request, context)


@pytest.fixture
def script() -> Iterator[Script]:
    """The script of a server that runs for one test."""
    script = Script()
    server = grpc.server(
        futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)]
    )
    recommend_pb2_grpc.add_RecommendServiceServicer_to_server(
        _Recommend(script), server
    )
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(_Feedback(script), server)
    script.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield script
    server.stop(grace=None).wait()
