"""The ranker's listeners: the front for callers, gRPC's own for the operator."""

import asyncio
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection import SERVICE_NAME

from stepwell.base.metric_names import SERVING_READY
from stepwell.base.metrics import Metrics
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.front import Front, FrontCounters, FrontOptions
from stepwell.front.siblings import SiblingSeat
from stepwell.serving.admin_listener import AdminListener, Door
from stepwell.serving.border import Border
from stepwell.serving.grpc_listener import CHANNEL_OPTIONS
from stepwell.serving.health_servicer import HealthServicer
from stepwell.serving.limits import (
    MAX_DEADLINE_MS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
)
from stepwell.serving.recommend_methods import METHODS
from stepwell.serving.side_calls import SideCalls, SideMethods
from stepwell_pb.v1 import (
    admin_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    recommend_pb2,
)

_RECOMMEND = recommend_pb2.DESCRIPTOR.services_by_name["RecommendService"].full_name
_FEEDBACK = feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"].full_name
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

EVEN_OUT_MS = 120_000
"""Callers on long-lived connections would never find a process that started later.
Asked to come again after so long, which costs no call, they are spread anew."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 takes a free one.

    Attributes:
        host, port: of callers.
        admin: of the operator.
        shared: other processes listen on `port` too, and the kernel spreads the
            connections over them; `port` must be given.
        seat: among these processes, which then have as many connections each.
    """

    host: str = "127.0.0.1"
    port: int = 0
    admin: Door = field(default_factory=Door)
    shared: bool = False
    seat: SiblingSeat | None = None


@dataclass(frozen=True, slots=True)
class Servicers:
    """What answers on the event loop."""

    feedback: feedback_pb2_grpc.FeedbackServiceServicer
    admin: admin_pb2_grpc.AdminServiceServicer


class RankerServer:
    """Listeners for callers and, on this machine only, for the operator.

    Health says NOT_SERVING from the first moment until `set_ready`. On a shared port
    callers would take this process for one that serves, so it listens there only when
    it is ready.

    Args:
        queue: where the calls of RecommendService go; its takers answer them.
        servicers: of everything else.
        listen: of callers and of the operator.
        metrics: calls by method and code.
        default_deadline_us: of calls that bring none.

    Raises:
        UnavailableError: a port is taken, or the operator's socket cannot be made.
        InvalidArgumentError: a port is none, or the socket's path is too long.

    Concurrency: one event loop; `counters` from any thread.
    """

    def __init__(
        self,
        queue: AdmissionQueue,
        servicers: Servicers,
        listen: Listen,
        metrics: Metrics,
        default_deadline_us: int = 200_000,
    ) -> None:
        self._listen = listen
        self._metrics = metrics
        self._health = HealthServicer((_RECOMMEND, _FEEDBACK))
        side = self._side_methods(servicers, metrics)
        options = _options(listen, default_deadline_us)
        self._front = Front(options, [*METHODS, *side.options()], queue, listen.seat)
        self._side = SideCalls(self._front, side, first=len(METHODS))
        border = Border(metrics)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(servicers.admin, border)
        self._admin = grpc.aio.server(options=CHANNEL_OPTIONS)
        self._admin.add_generic_rpc_handlers((border,))
        self.admin = AdminListener(self._admin, listen.admin)

    @property
    def port(self) -> int:
        """The port of callers, known before it listens."""
        return self._listen.port or self._front.port

    def counters(self) -> FrontCounters:
        """Returns what the front has counted so far."""
        return self._front.counters()

    async def start(self) -> None:
        """Begins to listen; not ready yet."""
        self._metrics.set(SERVING_READY, 0.0)
        self._side.start()
        if not self._listen.shared:
            self._front.listen()
        await self._admin.start()

    def set_ready(self) -> None:
        """Tells health checks, for the whole server and for each service."""
        self._health.set_serving(serving=True)
        if self._listen.shared:
            self._front.listen()
        self._metrics.set(SERVING_READY, 1.0)

    async def drain(self, grace_seconds: float) -> None:
        """Stops taking calls in and lets those in flight finish, then closes."""
        self._health.drain()
        self._metrics.set(SERVING_READY, 0.0)
        self._front.drain()
        self._side.drain()
        idle = asyncio.to_thread(self._front.wait_idle, grace_seconds)
        await asyncio.gather(idle, self._admin.stop(grace_seconds))
        self.admin.close()
        await self._side.close()
        await asyncio.to_thread(self._front.close)

    def _side_methods(self, servicers: Servicers, metrics: Metrics) -> SideMethods:
        side = SideMethods(metrics)
        names = (_RECOMMEND, _FEEDBACK, _HEALTH, SERVICE_NAME)
        feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(
            servicers.feedback, side
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, side)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            ReflectionServicer(names), side
        )
        return side


def _options(listen: Listen, default_deadline_us: int) -> FrontOptions:
    return FrontOptions(
        host=listen.host,
        port=listen.port,
        shared_port=listen.shared,
        max_message_bytes=MAX_MESSAGE_BYTES,
        max_metadata_bytes=MAX_METADATA_BYTES,
        default_deadline_us=default_deadline_us,
        max_deadline_us=MAX_DEADLINE_MS * 1_000,
        max_connection_age_ms=EVEN_OUT_MS if listen.shared else 0,
        connection_age_grace_ms=MAX_DEADLINE_MS,
    )
