"""Health: what is asked once, and what watchers are told."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from grpc_health.v1 import health_pb2

from stepwell.base.errors import NotFoundError, UnavailableError
from stepwell.serving.health_servicer import HealthServicer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def _asked(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def _told(
    watch: AsyncIterator[health_pb2.HealthCheckResponse],
) -> "health_pb2.HealthCheckResponse.ServingStatus":
    return (await asyncio.wait_for(anext(watch), 5)).status


@pytest.mark.parametrize("service", ["", "a.Service"])
async def test_every_service_turns_with_the_server(service: str) -> None:
    health = HealthServicer(["a.Service"])
    assert (await health.Check(_asked(service), None)).status == NOT_SERVING
    health.set_serving(serving=True)
    assert (await health.Check(_asked(service), None)).status == SERVING


async def test_a_name_of_nobody_is_not_found() -> None:
    with pytest.raises(NotFoundError, match=r"no service 'b\.Service'"):
        await HealthServicer(["a.Service"]).Check(_asked("b.Service"), None)


async def test_a_watcher_hears_of_each_change_once() -> None:
    health = HealthServicer([])
    watch = health.Watch(_asked(), None)
    assert await _told(watch) == NOT_SERVING
    following = asyncio.ensure_future(_told(watch))
    for serving in (False, True):  # the first changes nothing
        await asyncio.sleep(0)
        health.set_serving(serving=serving)
    assert await following == SERVING


async def test_a_change_between_two_looks_is_not_missed() -> None:
    health = HealthServicer([])
    watch = health.Watch(_asked(), None)
    assert await _told(watch) == NOT_SERVING
    health.set_serving(serving=True)
    assert await _told(watch) == SERVING


async def test_a_watcher_of_a_name_of_nobody_is_told_so() -> None:
    assert await _told(HealthServicer([]).Watch(_asked("b.Service"), None)) == UNKNOWN


async def test_a_drain_is_told_and_ends_the_watch() -> None:
    health = HealthServicer([])
    health.set_serving(serving=True)
    watch = health.Watch(_asked(), None)
    assert await _told(watch) == SERVING
    health.drain()
    health.set_serving(serving=True)  # too late
    assert await _told(watch) == NOT_SERVING
    with pytest.raises(UnavailableError, match="drains"):
        await _told(watch)
