"""One suite for every EventLog, then what only one backend can do wrong."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    StepwellError,
    UnavailableError,
)
from stepwell.stores.event_log import (
    MAX_BATCH_EVENTS,
    MAX_PAYLOAD_BYTES,
    EventLog,
    EventRecord,
    PostedCounts,
)
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.redis_event_log import RedisEventLog
from stepwell.stores.redis_server_fixture import redis_server

OpenLog = Callable[[], EventLog]
FOR_EVER_S = 60.0


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(params=["lmdb", "redis"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    if request.param == "lmdb":
        return lambda: LmdbEventLog(tmp_path / "events.lmdb")
    url = request.getfixturevalue("redis_url")
    return lambda: RedisEventLog(url, prefix=f"{tmp_path}:")


@pytest.fixture
def log(open_log: OpenLog) -> Iterator[EventLog]:
    opened = open_log()
    yield opened
    opened.close()


def records(*names: str) -> list[EventRecord]:
    return [EventRecord(name, f"payload of {name}".encode()) for name in names]


@contextmanager
def waiting(log: EventLog, from_offset: int) -> Iterator[list[bool | Exception]]:
    """Waits in another thread and gives what came of it, when the block has ended."""
    results: list[bool | Exception] = []

    def wait() -> None:
        try:
            results.append(log.wait(from_offset, FOR_EVER_S))
        except StepwellError as error:
            results.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    yield results
    thread.join()


def test_offsets_start_at_zero_and_grow_by_one(log: EventLog) -> None:
    assert log.end_offset() == 0
    assert log.append(records("a", "b")).offsets == (0, 1)
    assert log.append(records("c")).offsets == (2,)
    assert log.end_offset() == 3


def test_reads_back_what_was_appended_in_order(log: EventLog) -> None:
    payload = bytes(range(256)) * 4
    log.append([EventRecord("a", payload), EventRecord("é", b"")])
    first, second = log.read(0, 10)
    assert (first.offset, first.event_id, first.payload) == (0, "a", payload)
    assert (second.offset, second.event_id, second.payload) == (1, "é", b"")


def test_reads_from_an_offset_and_no_more_than_the_limit(log: EventLog) -> None:
    log.append(records(*"abcdef"))
    assert [event.event_id for event in log.read(2, 3)] == ["c", "d", "e"]
    assert log.read(6, 10) == []


def test_passes_by_what_begins_with_a_prefix_and_says_how_far_it_looked(
    log: EventLog,
) -> None:
    assert log.read_except("x:", 0, 10) == ([], 0)
    log.append(records("x:1", "a", "x", "x:2", "x:", "b"))
    found, next_offset = log.read_except("x:", 0, 4)
    assert [(e.offset, e.event_id) for e in found] == [(1, "a"), (2, "x")]
    assert found == log.read(1, 2)
    assert next_offset == 4
    assert log.read_except("x:", 3, 2) == ([], 5)
    assert log.read_except("x:", 4, 100_000) == (log.read(5, 1), 6)
    assert log.read_except("x:", 6, 1) == ([], 6)
    log.trim(3)
    assert log.read_except("a", 0, 1) == (log.read(3, 1), 4)


@pytest.mark.parametrize("prefix", ["", "x" * 301])
def test_a_prefix_over_a_limit_is_refused(log: EventLog, prefix: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"prefix.*must be in \["):
        log.read_except(prefix, 0, 1)


def test_a_repeated_event_is_stored_once_and_answers_its_first_place(
    log: EventLog,
) -> None:
    log.append(records("a", "b"))
    receipt = log.append(records("c", "a", "c", "d"))
    assert receipt.offsets == (2, 0, 2, 3)
    assert (receipt.num_stored, receipt.num_duplicates) == (2, 2)
    assert [event.event_id for event in log.read(0, 10)] == ["a", "b", "c", "d"]


def test_the_first_payload_of_a_repeated_event_stays(log: EventLog) -> None:
    log.append([EventRecord("a", b"first")])
    log.append([EventRecord("a", b"second")])
    assert [event.payload for event in log.read(0, 10)] == [b"first"]


def test_events_ids_and_consumers_are_there_after_reopening(
    open_log: OpenLog,
) -> None:
    log = open_log()
    log.append(records("a", "b"))
    log.commit_offset("updater", 1)
    log.close()
    again = open_log()
    assert again.append(records("b", "c")).offsets == (1, 2)
    assert again.committed_offset("updater") == 1
    assert len(again.read(0, 10)) == 3
    again.close()


def test_a_wait_says_whether_there_is_an_event_at_the_offset_or_behind(
    log: EventLog,
) -> None:
    assert not log.wait(0, 0.0)
    assert not log.wait(0, 0.01)
    log.append(records("a", "b"))
    assert log.wait(0, 0.0)
    assert log.wait(1, FOR_EVER_S)
    assert not log.wait(2, -1.0)
    log.trim(2)
    assert log.wait(1, FOR_EVER_S)
    with pytest.raises(InvalidArgumentError, match="from_offset"):
        log.wait(-1, 0.0)


@pytest.mark.parametrize("append", ["append", "post"])
def test_a_wait_ends_with_the_next_append(log: EventLog, append: str) -> None:
    log.append(records("a"))
    with waiting(log, 1) as results:
        if append == "append":
            log.append(records("b"))
        else:
            log.post(EventRecord("b", b""))
    assert results == [True]


def test_a_wait_ends_with_an_append_of_another_process(open_log: OpenLog) -> None:
    log = open_log()
    child = os.fork()
    if not child:
        open_log().append(records("a"))
        os._exit(0)
    assert log.wait(0, FOR_EVER_S)
    assert os.waitpid(child, 0) == (child, 0)
    log.close()


def test_a_wait_ends_when_the_log_is_closed(open_log: OpenLog) -> None:
    log = open_log()
    with waiting(log, 0) as results:
        log.close()
    (error,) = results
    assert isinstance(error, FailedPreconditionError), error
    with pytest.raises(FailedPreconditionError, match="closed"):
        log.wait(0, FOR_EVER_S)


def test_each_consumer_has_its_own_offset(log: EventLog) -> None:
    log.commit_offset("updater", 5)
    log.commit_offset("attribution", 2)
    assert log.committed_offset("updater") == 5
    assert log.committed_offset("attribution") == 2
    assert log.committed_offset("unknown") == 0


def test_concurrent_producers_lose_nothing_and_share_no_offset(log: EventLog) -> None:
    offsets: list[int] = []

    def produce(name: str) -> None:
        for step in range(10):
            receipt = log.append(records(f"{name}{step}", f"{name}{step}x"))
            offsets.extend(receipt.offsets)

    threads = [threading.Thread(target=produce, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offsets) == list(range(80))
    assert len({event.event_id for event in log.read(0, 100)}) == 80


def test_trim_forgets_old_events_and_offsets_go_on(log: EventLog) -> None:
    log.append(records(*"abcde"))
    assert log.first_offset() == 0
    assert log.trim(3) == 3
    assert log.first_offset() == 3
    assert log.trim(3) == 0
    assert [event.offset for event in log.read(0, 10)] == [3, 4]
    assert log.append(records("a")).offsets == (5,)
    assert log.trim(6) == 3
    assert log.first_offset() == 6
    assert log.append(records("f")).offsets == (6,)


def test_size_grows_with_events_and_shrinks_when_they_are_forgotten(
    log: EventLog,
) -> None:
    empty = log.size_bytes()
    for start in range(0, 3_000, 1_000):
        log.append(records(*(f"event-{n}" for n in range(start, start + 1_000))))
    full = log.size_bytes()
    assert full > empty + 3_000 * 10
    log.trim(2_990)
    assert empty <= log.size_bytes() < full / 2


def test_close_makes_what_was_submitted_durable(open_log: OpenLog) -> None:
    log = open_log()
    futures = [log.submit(records(f"e{step}")) for step in range(50)]
    log.close()
    assert [future.result(timeout=0).offsets for future in futures] == [
        (step,) for step in range(50)
    ]
    with pytest.raises(FailedPreconditionError, match="closed"):
        log.submit(records("late"))


def test_what_was_posted_is_there_after_the_close_and_counted(
    open_log: OpenLog,
) -> None:
    log = open_log()
    log.append(records("a"))
    assert [log.post(record) for record in records("b", "a", "c")] == [True] * 3
    log.close()
    assert log.posted() == PostedCounts(2, 1, 0)
    again = open_log()
    found = [(event.event_id, event.payload) for event in again.read(0, 10)]
    assert found == [(r.event_id, r.payload) for r in records("a", "b", "c")]
    assert again.posted() == PostedCounts(0, 0, 0)
    again.close()


def test_what_is_posted_to_a_closed_log_is_refused(open_log: OpenLog) -> None:
    log = open_log()
    log.close()
    assert not log.post(EventRecord("late", b""))
    assert log.posted() == PostedCounts(0, 0, 0)


@pytest.mark.parametrize(
    "record",
    [
        EventRecord("", b""),
        EventRecord("x" * 301, b""),
        EventRecord("a", bytes(MAX_PAYLOAD_BYTES + 1)),
    ],
    ids=["no-id", "long-id", "large"],
)
def test_a_post_over_a_limit_is_refused(log: EventLog, record: EventRecord) -> None:
    with pytest.raises(InvalidArgumentError, match=r"must be in \["):
        log.post(record)


@pytest.mark.parametrize(
    "batch",
    [
        [],
        records("a") * (MAX_BATCH_EVENTS + 1),
        records("a", ""),
        records("a", "x" * 301),
        [EventRecord("a", bytes(MAX_PAYLOAD_BYTES + 1))],
    ],
    ids=["empty", "too-many", "no-id", "long-id", "large"],
)
def test_a_batch_over_a_limit_is_refused_whole(
    log: EventLog, batch: list[EventRecord]
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"must be in \["):
        log.append(batch)
    assert log.end_offset() == 0


@pytest.mark.parametrize(("from_offset", "limit"), [(-1, 1), (0, 0), (0, 100_001)])
def test_a_read_of_the_impossible_is_refused(
    log: EventLog, from_offset: int, limit: int
) -> None:
    with pytest.raises(InvalidArgumentError, match="must be in"):
        log.read(from_offset, limit)


def test_redis_that_may_lose_acknowledged_writes_is_refused(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "r", ("--appendfsync", "everysec")) as server,
        pytest.raises(FailedPreconditionError, match="everysec"),
    ):
        RedisEventLog(server.url)


def test_redis_that_died_acknowledges_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path / "r") as server:
        log = RedisEventLog(server.url, timeout_ms=500)
        log.append(records("a"))
        server.process.kill()
        server.process.wait(timeout=10)
        with pytest.raises(UnavailableError):
            log.append(records("b"))
        assert log.post(EventRecord("c", b""))
        log.close()
        posted = log.posted()
        assert (posted.num_stored, posted.num_lost) == (0, 1)
        assert posted.last_loss
    with redis_server(tmp_path / "r") as server:
        log = RedisEventLog(server.url)
        assert [event.event_id for event in log.read(0, 10)] == ["a"]
        log.close()
