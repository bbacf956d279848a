"""The ranker over real gRPC, real stores and a real registry, in this process."""

import asyncio
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stepwell.base.metric_names import ANSWERS, DEGRADATION_REASONS, GRPC_HANDLED
from stepwell.feedback.user_history_updater import (
    USER_HISTORY_VIEW,
    UserHistoryUpdater,
)
from stepwell.pipeline.planner import FULL_SHAPE
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import RegistryState, ReleaseVersion, Source
from stepwell.schema.history_row import history_of_row
from stepwell.schema.vocabulary import entity_key
from stepwell.serving.ranker import Ranker
from stepwell.serving.ready import Ready
from stepwell.serving.tiny_ranker_fixture import (
    DENIED_ROW,
    NUM_ITEMS,
    OPTIONS,
    WATERMARK,
    Faults,
    RunningRanker,
    SkippingClock,
    publish,
    ranker,
    ranker_parts,
    running_ranker,
)
from stepwell_pb.v1 import admin_pb2, common_pb2, feedback_pb2, recommend_pb2

FULL, REDUCED = common_pb2.TIER_FULL, common_pb2.TIER_REDUCED
POPULAR = common_pb2.TIER_POPULAR

__all__ = ["ranker"]  # the fixture that the tests ask for by name


def _request(user: str = "ann", **fields: object) -> recommend_pb2.RecommendRequest:
    values: dict[str, object] = {"user_id": user, "num_items": 5, **fields}
    return recommend_pb2.RecommendRequest(**values)  # type: ignore[arg-type]


def _bought(user: str, *rows: int) -> feedback_pb2.LogEventsRequest:
    events = [
        feedback_pb2.Event(
            event_id=f"{user}-{row}",
            user_id=user,
            item_id=f"item-{row}",
            event_type=common_pb2.EVENT_TYPE_PURCHASE,
        )
        for row in rows
    ]
    return feedback_pb2.LogEventsRequest(events=events)


def _ids(response: recommend_pb2.RecommendResponse) -> list[str]:
    return [item.item_id for item in response.items]


def _pairs(error: grpc.aio.AioRpcError) -> list[tuple[str, str | bytes]]:
    return list(error.trailing_metadata())  # type: ignore[arg-type]


async def _raw_call(channel: grpc.aio.Channel, request: bytes) -> bytes:
    method = "/stepwell_pb.v1.RecommendService/Recommend"
    answer: bytes = await channel.unary_unary(method, bytes, bytes)(request)
    return answer


async def test_a_stranger_gets_a_marked_cold_start_answer(
    ranker: RunningRanker,
) -> None:
    answer = await ranker.recommend.Recommend(_request(request_id="r-1"))
    assert answer.request_id == "r-1"
    assert _ids(answer) == ["item-0", "item-1", "item-2", "item-4", "item-5"]
    assert answer.items[0].name == "Item 0"
    served_by = answer.served_by
    assert served_by.tier == FULL
    assert list(served_by.reasons) == [common_pb2.REASON_MISSING_USER]
    assert list(served_by.defaulted_features) == [USER_HISTORY_VIEW]
    assert served_by.release_id == "v000001"
    assert served_by.coverage == 1.0
    assert set(served_by.stage_us) >= {"hydrate", "retrieval", "ranking"}
    assert served_by.server_us >= served_by.queue_us >= 0
    assert WATERMARK <= served_by.event_time_seconds < WATERMARK + 60


async def test_a_logged_purchase_changes_the_next_answer(ranker: RunningRanker) -> None:
    stored = await ranker.feedback.LogEvents(_bought("ann", 400, 401))
    assert (stored.num_stored, stored.num_duplicates) == (2, 0)
    answer = await ranker.recommend.Recommend(_request(explain=True))
    assert set(_ids(answer)[:2]) == {"item-400", "item-401"}
    assert list(answer.served_by.reasons) == []
    sources = {source.source: source.rank for source in answer.items[0].sources}
    assert sources["history"] == 0
    assert answer.items[0].objectives["bought"] > 0


async def test_events_are_acknowledged_while_user_state_is_far_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying = threading.Event()

    def replay(_: UserHistoryUpdater) -> int:
        assert replaying.wait(30)
        return 0

    monkeypatch.setattr(UserHistoryUpdater, "catch_up", replay)
    options = replace(OPTIONS, apply_wait_seconds=0.01)
    async with running_ranker(tmp_path, options) as running:
        stored = await running.feedback.LogEvents(_bought("ann", 400), timeout=20)
        assert stored.num_stored == 1
        assert not replaying.is_set()
        replaying.set()


async def test_a_repeated_event_is_stored_and_applied_once(
    ranker: RunningRanker,
) -> None:
    await ranker.feedback.LogEvents(_bought("ann", 400))
    again = await ranker.feedback.LogEvents(_bought("ann", 400))
    assert (again.num_stored, again.num_duplicates) == (0, 1)
    (blob,) = ranker.store.get_many(USER_HISTORY_VIEW, ["ann"])
    assert blob is not None
    history = history_of_row(blob)
    assert history.keys.tolist() == [entity_key("item-400")]
    assert history.num_events == 1


async def test_popular_serves_the_users_own_last_slate(ranker: RunningRanker) -> None:
    await ranker.feedback.LogEvents(_bought("ann", 400))
    full = await ranker.recommend.Recommend(_request())
    popular = await ranker.recommend.Recommend(_request(forced_tier=POPULAR))
    assert _ids(popular) == _ids(full)
    served_by = popular.served_by
    assert (served_by.tier, list(served_by.reasons)) == (
        POPULAR,
        [common_pb2.REASON_FORCED],
    )
    assert served_by.HasField("cached_slate_age_ms")
    assert set(served_by.stage_us) == {"popular"}
    stranger = await ranker.recommend.Recommend(_request("bob", forced_tier=POPULAR))
    assert not stranger.served_by.HasField("cached_slate_age_ms")
    assert _ids(stranger)[0] == "item-0"


@pytest.mark.parametrize("tier", [FULL, REDUCED, POPULAR])
async def test_every_tier_can_be_forced_and_shows_no_denied_item(
    ranker: RunningRanker, tier: "common_pb2.Tier"
) -> None:
    answer = await ranker.recommend.Recommend(_request(num_items=50, forced_tier=tier))
    assert answer.served_by.tier == tier
    assert common_pb2.REASON_FORCED in answer.served_by.reasons
    assert len(answer.items) == 50
    assert f"item-{DENIED_ROW}" not in _ids(answer)
    assert ranker.metrics.value(DEGRADATION_REASONS, "forced") == 1


async def test_excluded_items_are_not_shown(ranker: RunningRanker) -> None:
    excluded = ["item-0", "item-2", "no-such-item"]
    answer = await ranker.recommend.Recommend(_request(exclude_item_ids=excluded))
    assert _ids(answer) == ["item-1", "item-4", "item-5", "item-6", "item-7"]


@pytest.mark.parametrize("tier", [FULL, POPULAR])
async def test_rank_orders_the_given_items_and_names_the_unknown(
    ranker: RunningRanker, tier: "common_pb2.Tier"
) -> None:
    request = recommend_pb2.RankRequest(
        user_id="ann",
        candidate_item_ids=["item-9", "item-2", "mystery", "item-9"],
        forced_tier=tier,
    )
    answer = await ranker.recommend.Rank(request)
    assert [item.item_id for item in answer.items] == ["item-2", "item-9"]
    assert list(answer.unknown_item_ids) == ["mystery"]


async def test_a_bad_field_is_answered_with_its_name_and_range(
    ranker: RunningRanker,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.recommend.Recommend(_request(num_items=0))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "num_items is 0, must be in [1, 500]"
    trailing = dict(_pairs(caught.value))
    details = trailing["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert bad.field_violations[0].field == "num_items"
    assert trailing["x-request-id"]
    handled = ("RecommendService", "Recommend", "INVALID_ARGUMENT")
    assert ranker.metrics.value(GRPC_HANDLED, *handled) == 1


async def test_bytes_that_are_no_request_are_the_callers_mistake(
    ranker: RunningRanker,
) -> None:
    no_utf8 = b"\x0a\x02\xff\xfe\x10\x05"  # a user_id of two bytes, num_items 5
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _raw_call(ranker.channel, no_utf8)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not UTF-8" in str(caught.value.details())


async def test_a_bad_event_stores_nothing_of_its_batch(ranker: RunningRanker) -> None:
    request = _bought("ann", 400)
    request.events.add(event_id="x", user_id="ann", item_id="item-1", value=-1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.feedback.LogEvents(request)
    assert caught.value.details() == (
        "events[1].value is -1.0, must be in [0, 1000000000]"
    )
    assert ranker.event_log.end_offset() == 0


async def test_a_deadline_that_nothing_can_make_is_refused(
    ranker: RunningRanker,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.recommend.Recommend(_request(), timeout=0.000_001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_while_the_store_is_down_the_answer_is_popular_and_says_why(
    ranker: RunningRanker,
) -> None:
    for _ in range(10):
        permit = ranker.breaker.try_acquire(0)
        assert permit is not None
        permit.drop(10**15)
    answer = await ranker.recommend.Recommend(_request())
    assert answer.served_by.tier == POPULAR
    assert list(answer.served_by.reasons) == [common_pb2.REASON_BREAKER_STORE]


async def test_health_turns_with_readiness(ranker: RunningRanker) -> None:
    health = health_pb2_grpc.HealthStub(ranker.channel)
    service = "stepwell_pb.v1.RecommendService"
    for name in ("", service):
        check = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert check.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_operator_sees_and_pins_the_ladder(ranker: RunningRanker) -> None:
    admin = ranker.admin()
    pin = admin_pb2.ForceTierRequest(tier=REDUCED, reason="test")
    assert (await admin.ForceTier(pin)).previous == common_pb2.TIER_UNSPECIFIED
    answer = await ranker.recommend.Recommend(_request())
    assert answer.served_by.tier == REDUCED
    status = await admin.GetStatus(admin_pb2.GetStatusRequest())
    assert status.release.release_id == "v000001"
    assert (status.release_state, status.forced_tier) == ("READY", REDUCED)
    assert [tier.tier for tier in status.tiers] == [FULL, REDUCED, POPULAR]
    assert status.tiers[1].num_served == 1
    assert status.tiers[1].cost_is_live
    free = admin_pb2.ForceTierRequest(reason="test over")
    assert (await admin.ForceTier(free)).previous == REDUCED
    with pytest.raises(grpc.aio.AioRpcError, match="reason is ''"):
        await admin.ForceTier(admin_pb2.ForceTierRequest(tier=FULL))


async def test_the_metrics_page_counts_what_was_answered(ranker: RunningRanker) -> None:
    await ranker.recommend.Recommend(_request())
    url = f"http://127.0.0.1:{ranker.ready.metrics_port}/metrics"
    page = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    assert f'{ANSWERS.name}{{tier="full"}} 1.0' in page
    fit = OPTIONS.ladder.initial_fit_ppm / 1e6
    assert f"stepwell_degradation_fit_ratio {fit}" in page
    assert "stepwell_releases_live_serial_number 1.0" in page
    assert 'stepwell_releases_state_ratio{state="ready"} 1.0' in page
    assert 'stepwell_releases_state_ratio{state="error"} 0.0' in page
    assert "stepwell_degradation_slate_cache_entries 1.0" in page


async def test_without_a_release_it_is_up_but_not_ready(tmp_path: Path) -> None:
    faults = Faults(SkippingClock())
    parts = ranker_parts(tmp_path, SigningKey.generate(), faults)
    stop, ready = asyncio.Event(), list[Ready]()
    ranker = Ranker(parts, OPTIONS)
    running = asyncio.create_task(ranker.run(stop, ready.append))
    address = f"127.0.0.1:{ranker.port}"
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        check = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        assert check.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="no release is live") as caught:
            await _raw_call(channel, _request().SerializeToString())
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    stop.set()
    await running
    assert ready == []
    assert parts.metrics.value(DEGRADATION_REASONS, "no_release") == 1


class _LostRegistry:
    """A registry that can be read once, such as a share that goes away."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._num_reads = 0
        self.missed = threading.Event()

    def state(self) -> RegistryState:
        self._num_reads += 1
        if self._num_reads == 1:
            return self._source.state()
        raise self._gone()

    def versions(self) -> tuple[ReleaseVersion, ...]:
        raise self._gone()

    def _gone(self) -> OSError:
        if self._num_reads > 2:  # the one before was got over
            self.missed.set()
        return PermissionError("the share is gone")


async def test_serves_on_while_the_registry_cannot_be_read(tmp_path: Path) -> None:
    key = SigningKey.generate()
    publish(tmp_path / "registry", key, tmp_path / "artifacts")
    parts = ranker_parts(tmp_path, key, Faults(SkippingClock()))
    lost = _LostRegistry(parts.source)
    stop = asyncio.Event()
    ranker = Ranker(replace(parts, source=lost), OPTIONS)
    running = asyncio.create_task(ranker.run(stop, lambda _: None))
    assert await asyncio.to_thread(lost.missed.wait, 5)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ranker.port}") as channel:
        assert await _raw_call(channel, _request().SerializeToString())
    stop.set()
    await running


async def test_the_whole_catalogue_fits_into_one_answer(ranker: RunningRanker) -> None:
    answer = await ranker.recommend.Recommend(_request(num_items=500))
    # A stranger has only the popular source, and one of its items is denied.
    assert len(answer.items) == FULL_SHAPE.source_limits["popular"] - 1
    popular = await ranker.recommend.Recommend(
        _request("bob", num_items=500, forced_tier=POPULAR)
    )
    assert len(popular.items) == 500
    assert NUM_ITEMS > 500
