"""The ranker and its user state: what the release and the log say about it."""

from pathlib import Path

from stepwell.feedback.logged_events import event_record
from stepwell.feedback.user_history_updater import USER_HISTORY_VIEW
from stepwell.schema.events import HISTORY_MODEL, EventType, history_config
from stepwell.schema.history_row import history_of_row
from stepwell.schema.vocabulary import entity_key
from stepwell.serving.tiny_ranker_fixture import (
    OPTIONS,
    WATERMARK,
    RunningRanker,
    running_ranker,
)
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2, recommend_pb2


def _event(row: int, kind: EventType) -> feedback_pb2.Event:
    return feedback_pb2.Event(
        event_id=f"event-{row}",
        user_id="ann",
        item_id=f"item-{row}",
        event_type=kind,  # type: ignore[arg-type]  # the numbers are the wire's
    )


async def _log(running: RunningRanker, *events: feedback_pb2.Event) -> None:
    await running.feedback.LogEvents(feedback_pb2.LogEventsRequest(events=events))


def _history(running: RunningRanker) -> list[int]:
    (blob,) = running.store.get_many(USER_HISTORY_VIEW, ["ann"])
    return [] if blob is None else history_of_row(blob).keys.tolist()


async def test_a_click_changes_nothing_where_the_models_know_purchases(
    tmp_path: Path,
) -> None:
    models = {HISTORY_MODEL: history_config([EventType.PURCHASE])}
    async with running_ranker(tmp_path, OPTIONS, {**models}) as running:
        await _log(
            running, _event(400, EventType.CLICK), _event(401, EventType.PURCHASE)
        )
        assert _history(running) == [entity_key("item-401")]
        assert running.event_log.end_offset() == 2


async def test_a_click_counts_where_the_release_does_not_say(tmp_path: Path) -> None:
    async with running_ranker(tmp_path) as running:
        await _log(running, _event(400, EventType.CLICK))
        assert _history(running) == [entity_key("item-400")]


async def test_after_a_restart_event_time_goes_on_behind_the_newest_event(
    tmp_path: Path,
) -> None:
    before = LmdbEventLog(tmp_path / "events")
    event = _event(400, EventType.PURCHASE)
    event.event_time_seconds = WATERMARK + 3_600
    before.append([event_record(event, 0)])
    before.close()
    request = recommend_pb2.RecommendRequest(user_id="ann", num_items=5)
    async with running_ranker(tmp_path) as running:
        answer = await running.recommend.Recommend(request)
        now = answer.served_by.event_time_seconds
        assert WATERMARK + 3_600 <= now < WATERMARK + 3_660
