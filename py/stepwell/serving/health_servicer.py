"""Health of the callers' listener, as grpc.health.v1 speaks of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from stepwell.base.errors import NotFoundError, UnavailableError

_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVING = health_pb2.HealthCheckResponse.SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Says whether the services serve; nothing else is known of any other name.

    Args:
        services: names on the wire; the server as a whole is "".

    Watchers are told of every change; when the server drains each hears NOT_SERVING and
    its stream ends, so that no watcher holds the drain up.

    Concurrency: one event loop.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(("", *services))
        self._is_serving = False
        self._is_draining = False
        self._changed = asyncio.Event()

    def set_serving(self, *, serving: bool) -> None:
        """Says from here on that it serves, or that it does not."""
        self._is_serving = serving and not self._is_draining
        self._tell()

    def drain(self) -> None:
        """Says NOT_SERVING for ever and ends every watch."""
        self._is_draining = True
        self.set_serving(serving=False)

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Returns how a service does now; NOT_FOUND for a name of nobody."""
        if request.service not in self._services:
            raise NotFoundError(f"no service {request.service[:256]!r} is here")
        return health_pb2.HealthCheckResponse(status=self._status())

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yields how a service does now, and again when that has changed.

        Raises:
            UnavailableError: the server drains.
        """
        told = None
        while True:
            changed = self._changed
            known = request.service in self._services
            status = self._status() if known else _UNKNOWN
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            elif self._is_draining:
                raise UnavailableError("the server drains")
            else:
                await changed.wait()

    def _status(self) -> "health_pb2.HealthCheckResponse.ServingStatus":
        return _SERVING if self._is_serving else _NOT_SERVING

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
