from pathlib import Path

import grpc
import pytest

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.base.metrics import Metrics
from stepwell.serving.admin_listener import Door
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc

_ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]


class Echo(admin_pb2_grpc.AdminServiceServicer):
    """Says on which server it was reached."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: object
    ) -> admin_pb2.GetStatusResponse:
        return admin_pb2.GetStatusResponse(release_state=self._name)


def server(door: Door, name: str = "") -> SingleServiceServer:
    return SingleServiceServer(
        _ADMIN,
        lambda border: admin_pb2_grpc.add_AdminServiceServicer_to_server(
            Echo(name), border
        ),
        Metrics(),
        door,
    )


def neighbours_of(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


async def reached(address: str) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        status = await stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=10)
        return str(status.release_state)


async def test_only_the_owner_may_open_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    running = server(Door(path, None), "own")
    await running.start()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (running.address, running.port) == (f"unix:{path}", 0)
    assert await reached(running.address) == "own"
    await running.drain(0.1)
    assert neighbours_of(path) == []


async def test_a_port_is_opened_beside_it_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    running = server(Door(path, 0), "both")
    await running.start()
    assert running.address == f"unix:{path}"
    assert await reached(f"127.0.0.1:{running.port}") == "both"
    await running.drain(0.1)
    assert server(Door(None, None)).address == ""


async def test_who_starts_takes_the_path_over_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    first, second = server(Door(path, None), "1"), server(Door(path, None), "2")
    await first.start()
    await second.start()
    await first.drain(0.1)
    assert await reached(second.address) == "2"
    await second.drain(0.1)


async def test_a_path_that_cannot_be_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="may have 107"):
        server(Door(tmp_path / ("a" * 200), None))
    with pytest.raises(UnavailableError, match="cannot listen on"):
        server(Door(tmp_path / "none" / "s", None))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UnavailableError, match="is no socket"):
        server(Door(tmp_path / "file", None))
    assert (tmp_path / "file").read_text() == "precious"
