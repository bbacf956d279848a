"""The ranker as a gRPC server: listeners, health, reflection, drain."""

import asyncio
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from stepwell.base.errors import UnavailableError, check_range
from stepwell.base.metric_names import SERVING_READY
from stepwell.base.metrics import Metrics
from stepwell.serving.border import Border
from stepwell.serving.limits import (
    MAX_DEADLINE_MS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
)
from stepwell_pb.v1 import (
    admin_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    recommend_pb2,
    recommend_pb2_grpc,
)

_log = structlog.get_logger(__name__)

_RECOMMEND = recommend_pb2.DESCRIPTOR.services_by_name["RecommendService"]
_FEEDBACK = feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"]

MIN_PENDING = 24
"""Fewer would reset calls that come together while the loop is away for a moment."""


def pending_for(budget_us: int) -> int:
    """Returns how many calls may wait unseen so that one may still be in its budget.

    The event loop takes 0.3 to 0.6 ms a call that is answered POPULAR; in a flood the
    list is three quarters full, and so at most two thirds of the budget long.
    """
    return max(MIN_PENDING, budget_us // 700)


CHANNEL_OPTIONS = (
    # A second server on the same port must fail, not share it in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
)

# Callers on long-lived connections would never find a process that started later. Asked
# to come again, which costs no call, they are spread anew.
_EVEN_OUT = {
    "grpc.max_connection_age_ms": 120_000,
    "grpc.max_connection_age_grace_ms": MAX_DEADLINE_MS,
}


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 takes a free one.

    Attributes:
        host, port: of callers.
        admin_port: of the operator, on loopback.
        shared: other processes listen on `port` too, and the kernel spreads the
            connections over them; `port` must be given.
        max_pending: calls that may wait where only gRPC sees them, for the event loop
            to come to them; from half of it on more and more are reset at once, which
            costs a tenth of a refusal of ours. The caller sees CANCELLED.
    """

    host: str = "127.0.0.1"
    port: int = 0
    admin_port: int = 0
    shared: bool = False
    max_pending: int = 1_024

    def __post_init__(self) -> None:
        check_range("max_pending", self.max_pending, 2, 1 << 20)


@dataclass(frozen=True, slots=True)
class Servicers:
    """What answers; all three share the event loop."""

    recommend: recommend_pb2_grpc.RecommendServiceServicer
    feedback: feedback_pb2_grpc.FeedbackServiceServicer
    admin: admin_pb2_grpc.AdminServiceServicer


class RankerServer:
    """Two listeners: one for callers, one on loopback for the operator.

    Health says NOT_SERVING from the first moment until `set_ready`. On a shared port
    callers would take this process for one that serves, so it listens there only when
    it is ready.

    Concurrency: one event loop; `set_ready` there too.
    """

    def __init__(self, servicers: Servicers, listen: Listen, metrics: Metrics) -> None:
        self._metrics = metrics
        self._health = HealthServicer()
        self._listen = listen
        self._listens = not listen.shared
        self._server = self._caller_server(servicers, metrics)
        admin = Border(metrics)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(servicers.admin, admin)
        self._admin = _server(admin, Listen())
        self.port = listen.port
        if not listen.shared:
            self.port = _bound(self._server, listen.host, listen.port)
        self.admin_port = _bound(self._admin, "127.0.0.1", listen.admin_port)

    async def start(self) -> None:
        """Begins to listen; not ready yet."""
        await self.set_ready(ready=False)
        if self._listens:
            await self._server.start()
        await self._admin.start()

    async def set_ready(self, *, ready: bool) -> None:
        """Tells health checks, for the whole server and for each service."""
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(
            "SERVING" if ready else "NOT_SERVING"
        )
        for name in ("", _RECOMMEND.full_name, _FEEDBACK.full_name):
            await self._health.set(name, status)
        if ready and not self._listens:
            # To bind is to listen: the kernel hands connections over from here on.
            self.port = _bound(self._server, self._listen.host, self._listen.port)
            self._listens = True
            await self._server.start()
        self._metrics.set(SERVING_READY, float(ready))

    async def drain(self, grace_seconds: float) -> None:
        """Stops taking calls in and lets those in flight finish."""
        await self._health.enter_graceful_shutdown()
        self._metrics.set(SERVING_READY, 0.0)
        listening = (self._server, self._admin) if self._listens else (self._admin,)
        await asyncio.gather(*(server.stop(grace_seconds) for server in listening))

    def _caller_server(
        self, servicers: Servicers, metrics: Metrics
    ) -> "grpc.aio.Server":
        border = Border(metrics)
        recommend_pb2_grpc.add_RecommendServiceServicer_to_server(
            servicers.recommend, border
        )
        feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(
            servicers.feedback, border
        )
        server = _server(border, self._listen)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (
            _RECOMMEND.full_name,
            _FEEDBACK.full_name,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        )
        reflection.enable_server_reflection(names, server)
        return server


def _server(border: Border, listen: Listen) -> "grpc.aio.Server":
    options = {
        **dict(CHANNEL_OPTIONS),
        "grpc.so_reuseport": int(listen.shared),
        "grpc.server.max_pending_requests": listen.max_pending // 2,
        "grpc.server.max_pending_requests_hard_limit": listen.max_pending,
    }
    if listen.shared:
        options |= _EVEN_OUT
    server = grpc.aio.server(options=tuple(options.items()))
    server.add_generic_rpc_handlers((border,))
    return server


def _bound(server: "grpc.aio.Server", host: str, port: int) -> int:
    # gRPC would take the number modulo 65,536 and listen there without a word.
    check_range("port", port, 0, 65_535)
    try:
        return server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UnavailableError(f"cannot listen on {host}:{port}: {error}") from error
