"""Roles at the operator's door of a real ranker: by socket and over TCP."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from stepwell.releases.source import DirectorySource
from stepwell.serving.admin_gate import Role
from stepwell.serving.admin_listener import Door
from stepwell.serving.server import Listen
from stepwell.serving.tiny_ranker_fixture import OPTIONS, running_ranker
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2

CHANGES = {
    "ForceTier": admin_pb2.ForceTierRequest(
        tier=common_pb2.TIER_REDUCED, reason="drill"
    ),
    "SetLadder": admin_pb2.SetLadderRequest(reason="drill"),
    "PollReleases": admin_pb2.PollReleasesRequest(reason="drill"),
}
LOOKS = {
    "GetStatus": admin_pb2.GetStatusRequest(),
    "ListReleases": admin_pb2.ListReleasesRequest(),
}


@dataclass
class Doors:
    socket: str
    tcp: str
    audit: Path

    def audited(self) -> list[dict[str, Any]]:
        if not self.audit.exists():
            return []
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    options = replace(
        OPTIONS,
        listen=Listen(admin=Door(tmp_path / "s", 0)),
        audit_log=tmp_path / "audit.jsonl",
        admin_tcp_role=Role.READER,
    )
    async with running_ranker(tmp_path / "r", options) as ranker:
        tcp = f"127.0.0.1:{ranker.ready.admin_port}"
        yield Doors(ranker.ready.admin_address, tcp, tmp_path / "audit.jsonl")


async def call(address: str, method: str, request: Message) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        return await getattr(stub, method)(request, timeout=10)


@pytest.mark.parametrize("method", LOOKS)
async def test_everybody_may_look(doors: Doors, method: str) -> None:
    for address in (doors.socket, doors.tcp):
        await call(address, method, LOOKS[method])
    assert doors.audited() == []


@pytest.mark.parametrize("method", CHANGES)
async def test_a_reader_changes_nothing_and_leaves_a_line(
    doors: Doors, method: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(doors.tcp, method, CHANGES[method])
    assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
    (line,) = doors.audited()
    assert (line["action"], line["reason"]) == (method, "drill")
    assert "over TCP a caller may look" in line["after"]["refused"]
    status = await call(doors.tcp, "GetStatus", LOOKS["GetStatus"])
    assert status.forced_tier == common_pb2.TIER_UNSPECIFIED


@pytest.mark.parametrize("method", CHANGES)
async def test_who_may_open_the_socket_changes_and_leaves_a_line(
    doors: Doors, method: str
) -> None:
    await call(doors.socket, method, CHANGES[method])
    (line,) = doors.audited()
    assert line["action"] == method
    assert "refused" not in line["after"]


async def test_a_wrong_change_leaves_a_line_too(doors: Doors) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(doors.socket, "PollReleases", admin_pb2.PollReleasesRequest())
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (line,) = doors.audited()
    assert "reason" in line["after"]["refused"]


async def test_a_registry_that_cannot_be_read_leaves_a_line_too(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: DirectorySource) -> None:
        raise PermissionError("the share is gone")

    monkeypatch.setattr(DirectorySource, "state", lost)
    with pytest.raises(grpc.aio.AioRpcError):
        await call(doors.socket, "PollReleases", CHANGES["PollReleases"])
    (line,) = doors.audited()
    assert line["after"] == {"refused": "the share is gone"}
