import threading
from collections.abc import Sequence

import pytest

from stepwell.base.errors import (
    FailedPreconditionError,
    ResourceExhaustedError,
    UnavailableError,
)
from stepwell.stores.event_log import AppendReceipt, EventRecord
from stepwell.stores.group_commit import Batch, GroupCommitOptions, GroupCommitter


class GatedDisk:
    """A disk whose commits wait for the test; `commits` are the groups seen."""

    def __init__(self) -> None:
        self.commits: list[list[Batch]] = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None

    def commit(self, batches: Sequence[Batch]) -> list[AppendReceipt]:
        self.commits.append(list(batches))
        self.started.release()
        assert self.gate.acquire(timeout=10)
        if self.error is not None:
            raise self.error
        return [
            AppendReceipt(tuple(range(len(batch))), len(batch)) for batch in batches
        ]


def batch(*names: str, size: int = 1) -> Batch:
    return tuple(EventRecord(name, bytes(size)) for name in names)


def committer_on(disk: GatedDisk, **bounds: int) -> GroupCommitter:
    return GroupCommitter(disk.commit, GroupCommitOptions(**bounds), "test")


def names(group: list[Batch]) -> list[str]:
    return [record.event_id for batch in group for record in batch]


def test_appends_that_wait_for_the_disk_share_the_next_commit() -> None:
    disk = GatedDisk()
    committer = committer_on(disk)
    futures = [committer.submit(batch("first"))]
    assert disk.started.acquire(timeout=10)
    futures += [committer.submit(batch(name)) for name in "abc"]
    disk.gate.release(2)
    for future in futures:
        assert future.result(timeout=10).num_stored == 1
    assert [names(group) for group in disk.commits] == [["first"], ["a", "b", "c"]]
    committer.close()


def test_no_receipt_leaves_before_the_commit_returns() -> None:
    disk = GatedDisk()
    committer = committer_on(disk)
    future = committer.submit(batch("a"))
    assert disk.started.acquire(timeout=10)
    assert not future.done()
    disk.gate.release()
    assert future.result(timeout=10).offsets == (0,)
    committer.close()


def test_a_group_holds_no_more_events_than_its_bound() -> None:
    disk = GatedDisk()
    committer = committer_on(disk, max_group_events=3)
    committer.submit(batch("first"))
    assert disk.started.acquire(timeout=10)
    futures = [committer.submit(batch(f"{n}a", f"{n}b")) for n in range(2)]
    large = committer.submit(batch(*"vwxyz"))
    disk.gate.release(4)
    for future in [*futures, large]:
        future.result(timeout=10)
    sizes = [len(names(group)) for group in disk.commits]
    assert sizes == [1, 2, 2, 5]  # a batch larger than the bound goes alone
    committer.close()


@pytest.mark.parametrize(
    "bounds", [{"max_pending_events": 2}, {"max_pending_bytes": 20}]
)
def test_refuses_at_once_when_too_much_waits(bounds: dict[str, int]) -> None:
    disk = GatedDisk()
    committer = committer_on(disk, **bounds)
    committer.submit(batch("first", size=10))
    assert disk.started.acquire(timeout=10)
    for name in "ab":
        committer.submit(batch(name, size=10))
    with pytest.raises(ResourceExhaustedError, match="2 events") as caught:
        committer.submit(batch("c", size=10))
    assert caught.value.retry_after_ms > 0
    disk.gate.release(10)
    committer.close()
    assert "c" not in [name for group in disk.commits for name in names(group)]


@pytest.mark.parametrize("error", [UnavailableError("EIO"), KeyError("a bug")])
def test_a_failed_commit_fails_its_group_and_the_next_one_succeeds(
    error: Exception,
) -> None:
    disk = GatedDisk()
    disk.error = error
    disk.gate.release(10)
    committer = committer_on(disk)
    with pytest.raises(UnavailableError):
        committer.submit(batch("a")).result(timeout=10)
    disk.error = None
    assert committer.submit(batch("b")).result(timeout=10).num_stored == 1
    committer.close()


def test_a_cancelled_batch_is_not_stored_once_the_cancel_was_accepted() -> None:
    disk = GatedDisk()
    committer = committer_on(disk)
    first = committer.submit(batch("first"))
    assert disk.started.acquire(timeout=10)
    waiting = committer.submit(batch("waiting"))
    assert waiting.cancel()
    assert not first.cancel()
    disk.gate.release(10)
    committer.close()
    assert [names(group) for group in disk.commits] == [["first"]]


def test_close_commits_what_waits_and_refuses_what_comes_later() -> None:
    disk = GatedDisk()
    disk.gate.release(10)
    committer = committer_on(disk)
    futures = [committer.submit(batch(name)) for name in "abc"]
    committer.close()
    assert all(future.done() for future in futures)
    with pytest.raises(FailedPreconditionError, match="closed"):
        committer.submit(batch("late"))
