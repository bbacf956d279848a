"""The retrieval index as a gRPC server: listener, health, reflection, drain."""

import grpc
import numpy as np
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import SERVING_READY
from stepwell.base.metrics import Metrics
from stepwell.index.ann_index import AnnIndex
from stepwell.serving.interceptors import BorderInterceptor
from stepwell.serving.retrieval_servicer import DEFAULT_EF_SEARCH, RetrievalServicer
from stepwell.serving.server import CHANNEL_OPTIONS
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

_SERVICE = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"]
_WARM_UP_SEARCHES = 50
_WARM_UP_K = 200


class RetrievalServer:
    """One listener with RetrievalService, health and reflection.

    Args:
        index: what it serves.
        metrics: calls by method and code.
        address: host:port to listen on; port 0 takes a free one, see `port`.
        default_ef_search: width for requests that leave it 0.

    Health says NOT_SERVING until `start` has warmed the index up, and again from the
    moment `drain` begins.

    Concurrency: one event loop.
    """

    def __init__(
        self,
        index: AnnIndex,
        metrics: Metrics,
        address: str = "127.0.0.1:0",
        default_ef_search: int = DEFAULT_EF_SEARCH,
    ) -> None:
        self._index = index
        self._metrics = metrics
        self._servicer = RetrievalServicer(index, default_ef_search)
        self._health = HealthServicer()
        self._server = self._assemble()
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise UnavailableError(f"cannot listen on {address}: {error}") from error

    async def start(self) -> None:
        """Listens, warms up, then says SERVING."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        self._warm_up()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        self._metrics.set(SERVING_READY, 1.0)

    async def drain(self, grace_seconds: float) -> None:
        """Stops taking calls in, lets those in flight finish, ends the threads."""
        await self._health.enter_graceful_shutdown()
        self._metrics.set(SERVING_READY, 0.0)
        await self._server.stop(grace_seconds)
        self._servicer.close()

    def _assemble(self) -> "grpc.aio.Server":
        requests = {
            f"/{_SERVICE.full_name}/{method.name}": message_factory.GetMessageClass(
                method.input_type
            )
            for method in _SERVICE.methods
        }
        interceptor = BorderInterceptor(self._metrics, requests)
        server = grpc.aio.server(interceptors=[interceptor], options=CHANNEL_OPTIONS)
        retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(
            self._servicer, server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = (_SERVICE.full_name, health_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    async def _set_health(
        self, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType"
    ) -> None:
        for name in ("", _SERVICE.full_name):
            await self._health.set(name, status)

    def _warm_up(self) -> None:
        """Touches the graph's pages; seeded, so that every start does the same."""
        dim = self._index.stats().dim
        queries = np.random.default_rng(0).normal(size=(_WARM_UP_SEARCHES, dim))
        self._index.search(queries.astype(np.float32), _WARM_UP_K)
