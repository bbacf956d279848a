import threading
from collections.abc import Sequence

import pytest

from stepwell.base.errors import UnavailableError
from stepwell.stores.event_log import AppendReceipt, EventRecord, PostedCounts
from stepwell.stores.posted_events import PostedEvents, PostOptions


class GatedLog:
    """A log whose appends wait for the test; `groups` are the ids it saw."""

    def __init__(self, error: UnavailableError | None = None) -> None:
        self.groups: list[list[str]] = []
        self.error = error
        self.started = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        self.groups.append([record.event_id for record in records])
        self.started.release()
        assert self.gate.acquire(timeout=10)
        if self.error is not None:
            raise self.error
        return AppendReceipt(tuple(range(len(records))), len(records) - 1)


def event(name: str, size: int = 1) -> EventRecord:
    return EventRecord(name, bytes(size))


def test_events_gather_and_a_full_group_does_not_wait() -> None:
    log = GatedLog()
    log.gate.release(10)
    options = PostOptions(max_group_events=3, linger_seconds=600.0)
    posted = PostedEvents(log.append, options)
    for name in "abc":
        assert posted.post(event(name))
    assert log.started.acquire(timeout=10)
    posted.post(event("last"))
    posted.close()
    assert log.groups == [["a", "b", "c"], ["last"]]


def test_a_group_that_does_not_fill_is_appended_after_the_linger() -> None:
    log = GatedLog()
    log.gate.release(10)
    posted = PostedEvents(log.append, PostOptions(linger_seconds=0.001))
    posted.post(event("alone"))
    assert log.started.acquire(timeout=10)
    posted.close()
    assert log.groups == [["alone"]]


@pytest.mark.parametrize(
    "options",
    [
        PostOptions(max_pending_events=2, linger_seconds=0.001),
        PostOptions(max_pending_bytes=20, linger_seconds=0.001),
    ],
    ids=["events", "bytes"],
)
def test_refuses_at_once_when_too_much_waits_and_takes_again_later(
    options: PostOptions,
) -> None:
    log = GatedLog()
    posted = PostedEvents(log.append, options)
    assert posted.post(event("in flight", size=10))
    assert log.started.acquire(timeout=10)
    taken = [posted.post(event(name, size=10)) for name in "abcd"]
    assert taken == [True, True, False, False]
    log.gate.release(10)
    assert log.started.acquire(timeout=10)
    assert posted.post(event("later", size=10))
    posted.close()
    assert [name for group in log.groups for name in group] == [
        *("in flight", "a", "b", "later")
    ]


def test_counts_what_was_new_and_what_was_there() -> None:
    log = GatedLog()
    log.gate.release(10)
    posted = PostedEvents(log.append, PostOptions())
    for name in "abc":
        posted.post(event(name))
    posted.close()
    num_groups = len(log.groups)  # the gated log says of each that one was there
    assert posted.counts() == PostedCounts(3 - num_groups, num_groups, 0)


def test_a_failed_append_loses_its_group_and_says_why() -> None:
    log = GatedLog(UnavailableError("EIO"))
    log.gate.release(10)
    posted = PostedEvents(log.append, PostOptions())
    for name in "ab":
        posted.post(event(name))
    posted.close()
    assert posted.counts() == PostedCounts(0, 0, 2, "EIO")


def test_what_comes_after_the_close_is_refused() -> None:
    posted = PostedEvents(GatedLog().append, PostOptions())
    posted.close()
    assert not posted.post(event("late"))
