"""One operator's word, several rankers: real ones, over gRPC."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from stepwell.base.clock import SystemClock
from stepwell.base.metrics import Metrics
from stepwell.serving.admin_fan_out_servicer import AdminFanOut, WorkerView
from stepwell.serving.audit_log import AuditLog
from stepwell.serving.ladder_constants import PinnedState
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell.serving.tiny_ranker_fixture import RunningRanker, running_ranker
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2

_ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]


@dataclass
class Crew:
    """The rankers of a test in the place of processes."""

    addresses: list[str] = field(default_factory=list)

    def views(self) -> Sequence[WorkerView]:
        return [
            WorkerView(number, 100 + number, "SERVING", number, address)
            for number, address in enumerate(self.addresses)
        ]


@dataclass
class Bench:
    rankers: list[RunningRanker]
    crew: Crew
    fan_out: AdminFanOut
    admin: admin_pb2_grpc.AdminServiceStub
    audit: Path

    def audited(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        rankers = [
            await stack.enter_async_context(running_ranker(tmp_path / str(number)))
            for number in range(2)
        ]
        crew = Crew([f"127.0.0.1:{r.ready.admin_port}" for r in rankers])
        audit = tmp_path / "audit.jsonl"
        clock = SystemClock()
        fan_out = AdminFanOut(crew, AuditLog(audit, clock), clock)
        server = SingleServiceServer(
            _ADMIN,
            lambda border: admin_pb2_grpc.add_AdminServiceServicer_to_server(
                fan_out, border
            ),
            Metrics(),
        )
        await server.start()
        stack.push_async_callback(server.drain, 0.1)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        await stack.enter_async_context(channel)
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        yield Bench(rankers, crew, fan_out, stub, audit)


async def _own_status(address: str) -> admin_pb2.GetStatusResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        status: admin_pb2.GetStatusResponse = await stub.GetStatus(
            admin_pb2.GetStatusRequest()
        )
        return status


async def test_a_forced_tier_reaches_every_process_and_the_audit_log_once(
    bench: Bench,
) -> None:
    request = admin_pb2.ForceTierRequest(tier=common_pb2.TIER_POPULAR, reason="why")
    answer = await bench.admin.ForceTier(request, metadata=(("operator", "ann"),))
    assert answer.previous == common_pb2.TIER_UNSPECIFIED
    for address in bench.crew.addresses:
        assert (await _own_status(address)).forced_tier == common_pb2.TIER_POPULAR
    (line,) = bench.audited()
    assert str(line["who"]).startswith("ann at ipv4:127.0.0.1")
    assert line["before"] == {"tier": "TIER_UNSPECIFIED"}
    assert line["after"] == {"tier": "TIER_POPULAR"}
    assert line["reason"] == "why"


def _tighter() -> admin_pb2.SetLadderRequest:
    return admin_pb2.SetLadderRequest(
        ladder=admin_pb2.LadderConstants(standing_us=7),
        breakers={"store": admin_pb2.BreakerConstants(min_calls=3)},
        reason="why",
    )


async def test_constants_reach_every_process_and_the_former_ones_come_back(
    bench: Bench,
) -> None:
    former = await bench.admin.SetLadder(_tighter())
    before = former.previous_ladder.standing_us
    for address in bench.crew.addresses:
        status = await _own_status(address)
        assert status.ladder.standing_us == 7
        assert status.breakers[0].constants.min_calls == 3
    (line,) = bench.audited()
    assert line["before"] == {
        "ladder.standing_us": before,
        "breakers.store.min_calls": former.previous_breakers["store"].min_calls,
    }
    assert line["after"] == {"ladder.standing_us": 7, "breakers.store.min_calls": 3}


async def test_a_constant_out_of_range_is_refused_and_remembered_by_none(
    bench: Bench,
) -> None:
    request = admin_pb2.SetLadderRequest(
        ladder=admin_pb2.LadderConstants(initial_fit_ppm=-1), reason="why"
    )
    with pytest.raises(grpc.aio.AioRpcError, match="initial_fit_ppm is -1") as caught:
        await bench.admin.SetLadder(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert bench.fan_out.pinned == PinnedState()
    assert not bench.audit.exists()


async def test_a_process_that_started_meanwhile_is_told_what_it_missed(
    bench: Bench,
) -> None:
    late = bench.crew.addresses.pop()
    born_with = bench.fan_out.pinned.to_text()
    await bench.admin.SetLadder(_tighter())
    forced = admin_pb2.ForceTierRequest(tier=common_pb2.TIER_REDUCED, reason="why")
    await bench.admin.ForceTier(forced)
    assert (await _own_status(late)).forced_tier == common_pb2.TIER_UNSPECIFIED
    view = WorkerView(1, 101, "SERVING", 0, late)
    await bench.fan_out.bring_up_to_date(view, born_with)
    status = await _own_status(late)
    assert status.forced_tier == common_pb2.TIER_REDUCED
    assert status.ladder.standing_us == 7


async def test_a_process_that_is_gone_keeps_nobody_from_acting(bench: Bench) -> None:
    bench.crew.addresses.append("127.0.0.1:1")
    forced = admin_pb2.ForceTierRequest(tier=common_pb2.TIER_POPULAR, reason="why")
    await bench.admin.ForceTier(forced)
    assert bench.fan_out.pinned.tier == common_pb2.TIER_POPULAR
    status = await bench.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert [worker.HasField("status") for worker in status.workers] == [1, 1, 0]


async def test_status_adds_counts_and_names_each_process(bench: Bench) -> None:
    status = await bench.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert [(w.worker, w.pid, w.num_restarts) for w in status.workers] == [
        (0, 100, 0),
        (1, 101, 1),
    ]
    owns = [await _own_status(address) for address in bench.crew.addresses]
    for place, tier in enumerate(status.tiers):
        assert tier.num_served == sum(own.tiers[place].num_served for own in owns)
    assert status.release.release_id == owns[0].release.release_id
    assert status.breakers[0].state == "CLOSED"


async def test_without_a_process_constants_cannot_be_judged(bench: Bench) -> None:
    bench.crew.addresses.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bench.admin.SetLadder(_tighter())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert bench.fan_out.pinned == PinnedState()


async def test_every_process_looks_for_releases_and_says_what_it_holds(
    bench: Bench,
) -> None:
    bench.crew.addresses.append("127.0.0.1:1")
    asked = admin_pb2.PollReleasesRequest(reason="v000001 promoted")
    view = await bench.admin.PollReleases(asked)
    assert view.live_serial == 1
    assert [(w.worker, w.pid) for w in view.workers] == [(0, 100), (1, 101), (2, 102)]
    assert [w.view.live_serial for w in view.workers] == [1, 1, 0]
    assert not view.workers[2].HasField("view")
    listed = await bench.admin.ListReleases(admin_pb2.ListReleasesRequest())
    assert listed == view
    (line,) = bench.audited()
    assert (line["action"], line["reason"]) == ("PollReleases", "v000001 promoted")
