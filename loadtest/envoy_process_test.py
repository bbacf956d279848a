"""Envoy before a real gRPC server: passes, delays, aborts, and counts what it did."""

import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from envoy_process import ADAPTIVE_CONCURRENCY, FAULTS, Envoy, envoy_before

NUM_CALLS = 200


@pytest.fixture(scope="module")
def server_port() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()


@pytest.fixture(scope="module")
def faulty(
    server_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Envoy]:
    folder = tmp_path_factory.mktemp("envoy")
    with envoy_before(server_port, [FAULTS], folder) as envoy:
        yield envoy


def _codes(envoy: Envoy, number: int) -> list[grpc.StatusCode]:
    codes = []
    with grpc.insecure_channel(envoy.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for _ in range(number):
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError as error:
                call: Any = error
                codes.append(call.code())
            else:
                codes.append(grpc.StatusCode.OK)
    return codes


def test_without_faults_every_call_passes(faulty: Envoy) -> None:
    faulty.set_faults()
    assert set(_codes(faulty, NUM_CALLS)) == {grpc.StatusCode.OK}


def test_aborts_the_asked_share_with_the_asked_code(faulty: Envoy) -> None:
    faulty.set_faults(abort_percent=30, grpc_code=grpc.StatusCode.UNAVAILABLE.value[0])
    codes = _codes(faulty, NUM_CALLS)
    aborted = codes.count(grpc.StatusCode.UNAVAILABLE)
    # Five standard deviations of a binomial count either way.
    assert 27 <= aborted <= 93
    assert codes.count(grpc.StatusCode.OK) == NUM_CALLS - aborted
    assert sum(faulty.counters("fault.aborts_injected").values()) >= aborted
    faulty.set_faults()
    assert set(_codes(faulty, NUM_CALLS)) == {grpc.StatusCode.OK}


def test_delays_every_call_while_asked_to(faulty: Envoy) -> None:
    faulty.set_faults(delay_percent=100, delay_ms=40)
    started = time.monotonic()
    assert _codes(faulty, 3) == [grpc.StatusCode.OK] * 3
    assert time.monotonic() - started >= 3 * 0.04
    faulty.set_faults()


def test_the_adaptive_limit_lets_a_healthy_server_answer(
    server_port: int, tmp_path: Path
) -> None:
    with envoy_before(server_port, [ADAPTIVE_CONCURRENCY], tmp_path) as envoy:
        assert set(_codes(envoy, 20)) == {grpc.StatusCode.OK}
        counters = envoy.counters("adaptive_concurrency")
        assert sum(counters.values()) == 0  # nothing was refused
