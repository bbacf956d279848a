"""Streams of events through a ranker's own front."""

import asyncio
from pathlib import Path
from typing import Any

import grpc

from stepwell.serving.tiny_ranker_fixture import RunningRanker, ranker, running_ranker
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

__all__ = ["ranker"]  # the fixture that the tests ask for by name


def _batch(*names: str) -> feedback_pb2.LogEventsRequest:
    events = [
        feedback_pb2.Event(
            event_id=name,
            user_id="ann",
            item_id="item-400",
            event_type=common_pb2.EVENT_TYPE_PURCHASE,
        )
        for name in names
    ]
    return feedback_pb2.LogEventsRequest(events=events)


def _stream(ranker: RunningRanker) -> Any:
    stub: Any = ranker.feedback
    return stub.LogEventsStream()


async def test_what_a_stream_brings_reaches_the_answers(ranker: RunningRanker) -> None:
    stream = _stream(ranker)
    for names in (("a", "b"), ("b", "c"), ("d",)):
        await stream.write(_batch(*names))
    answers = [await stream.read() for _ in range(3)]
    assert [a.num_stored for a in answers] == [2, 1, 1]
    assert [a.num_duplicates for a in answers] == [0, 1, 0]
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK
    request = recommend_pb2.RecommendRequest(user_id="ann", num_items=5)
    async with asyncio.timeout(30):
        while True:  # the updater follows by itself
            answer = await ranker.recommend.Recommend(request)
            if answer.items[0].item_id == "item-400":
                break


async def test_a_drain_ends_a_stream_that_waits_for_more(tmp_path: Path) -> None:
    async with running_ranker(tmp_path) as ranker:
        stream = _stream(ranker)
        await stream.write(_batch("a"))
        assert (await stream.read()).num_stored == 1
        ranker.stop.set()
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
        assert await stream.details() == "the server drains"
        await ranker.done
    log = LmdbEventLog(tmp_path / "events")
    assert [stored.event_id for stored in log.read(0, 10)] == ["a"]
    log.close()


async def test_a_wrong_batch_ends_the_stream_and_names_its_event(
    ranker: RunningRanker,
) -> None:
    stream = _stream(ranker)
    await stream.write(_batch("a"))
    assert (await stream.read()).num_stored == 1
    await stream.write(_batch("b", ""))
    assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await stream.details()).startswith("events[1].event_id is ''")
