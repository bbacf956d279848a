"""A gRPC server of one service: listener, health, reflection, drain."""

from collections.abc import Callable

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from stepwell.base.metric_names import SERVING_READY
from stepwell.base.metrics import Metrics
from stepwell.serving.admin_listener import AdminListener, Door
from stepwell.serving.border import Border
from stepwell.serving.grpc_listener import CHANNEL_OPTIONS, bound
from stepwell.serving.limits import MAX_MESSAGE_BYTES

_READ_FACTOR = 4


class SingleServiceServer:
    """One listener with one service, health and reflection.

    Args:
        service: what it is called on the wire.
        add_servicer: registers the servicer with the border that it is given.
        metrics: calls by method and code.
        address: host:port to listen on; port 0 takes a free one, see `port`. Or the
            operator's door.
        max_message_bytes: of a request. gRPC itself refuses what is four times larger,
            before it is read; what lies between is refused by us, and counted.

    Health says NOT_SERVING until `start` returns, and again once `drain` begins.

    Concurrency: one event loop.
    """

    def __init__(
        self,
        service: ServiceDescriptor,
        add_servicer: Callable[[Border], None],
        metrics: Metrics,
        address: str | Door = "127.0.0.1:0",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._service = service
        self._border = Border(metrics, max_message_bytes)
        self._metrics = metrics
        self._health = HealthServicer()
        add_servicer(self._border)
        options = {
            **dict(CHANNEL_OPTIONS),
            "grpc.max_receive_message_length": _READ_FACTOR * max_message_bytes,
        }
        self._server = grpc.aio.server(options=tuple(options.items()))
        self._server.add_generic_rpc_handlers((self._border,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = (service.full_name, health_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._door: AdminListener | None = None
        if isinstance(address, Door):
            self._door = AdminListener(self._server, address)
            self.port, self.address = self._door.port, self._door.address
        else:
            host, _, port = address.rpartition(":")
            self.port = bound(self._server, host, int(port))
            self.address = f"{host}:{self.port}"

    async def start(self) -> None:
        """Listens, then says SERVING."""
        await self._server.start()
        for name in ("", self._service.full_name):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._metrics.set(SERVING_READY, 1.0)

    async def drain(self, grace_seconds: float) -> None:
        """Stops taking calls in and lets those in flight finish."""
        await self._health.enter_graceful_shutdown()
        self._border.drain()
        self._metrics.set(SERVING_READY, 0.0)
        await self._server.stop(grace_seconds)
        if self._door is not None:
            self._door.close()
