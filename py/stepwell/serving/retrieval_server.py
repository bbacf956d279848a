"""The retrieval index as a gRPC server: warm-up, listener, health, gauges, drain."""

import asyncio

import numpy as np

from stepwell.base.metric_names import INDEX_ITEMS, INDEX_MEMORY, INDEX_TOMBSTONES
from stepwell.base.metrics import Metrics
from stepwell.index.ann_index import AnnIndex
from stepwell.retrieval.recall_probe import RecallProbe, RecallProbeOptions
from stepwell.serving.limits import MAX_INNER_MESSAGE_BYTES
from stepwell.serving.retrieval_servicer import RetrievalOptions, RetrievalServicer
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

_SERVICE = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"]
_WARM_UP_SEARCHES = 50
_WARM_UP_K = 200


class RetrievalServer:
    """One listener with RetrievalService, health and reflection.

    Args:
        index: what it serves.
        metrics: calls by method and code, searches, what the index holds.
        address: host:port to listen on; port 0 takes a free one, see `port`.
        options: of the service.

    It listens, and health says SERVING, once `start` has warmed the index up; health
    says NOT_SERVING from the moment `drain` begins.

    Concurrency: one event loop; `refresh_gauges` from any thread.
    """

    def __init__(
        self,
        index: AnnIndex,
        metrics: Metrics,
        address: str = "127.0.0.1:0",
        options: RetrievalOptions | None = None,
    ) -> None:
        self._index = index
        self._metrics = metrics
        options = options or RetrievalOptions()
        probe = RecallProbe(
            index, metrics, RecallProbeOptions(options.recall_probe_share)
        )
        self._servicer = RetrievalServicer(index, metrics, options, probe=probe)
        self._server = SingleServiceServer(
            _SERVICE,
            lambda server: retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(
                self._servicer, server
            ),
            metrics,
            address,
            MAX_INNER_MESSAGE_BYTES,
        )
        self.port = self._server.port

    @property
    def index_changed(self) -> bool:
        """Whether a write has changed the index since it was given."""
        return self._servicer.changed

    async def start(self) -> None:
        """Warms up, listens, then says SERVING."""
        self._warm_up()
        await self._server.start()

    async def drain(self, grace_seconds: float) -> None:
        """Stops taking calls in, lets those in flight finish, ends the threads."""
        await self._server.drain(grace_seconds)
        await asyncio.to_thread(self._servicer.close)

    def refresh_gauges(self) -> None:
        """Sets the gauges to what the index holds now."""
        stats = self._index.stats()
        self._metrics.set(INDEX_ITEMS, stats.num_items)
        self._metrics.set(INDEX_TOMBSTONES, stats.num_deleted)
        self._metrics.set(INDEX_MEMORY, stats.memory_bytes)

    def _warm_up(self) -> None:
        """Touches the graph's pages; seeded, so that every start does the same."""
        dim = self._index.stats().dim
        queries = np.random.default_rng(0).normal(size=(_WARM_UP_SEARCHES, dim))
        self._index.search(queries.astype(np.float32), _WARM_UP_K)
