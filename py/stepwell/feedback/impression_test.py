import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import IMPRESSIONS_DROPPED, IMPRESSIONS_LOGGED
from stepwell.base.metrics import Metrics
from stepwell.feedback.impression import ImpressionSideEffect, ShownSlate
from stepwell.feedback.logged_events import decoded
from stepwell.stores.event_log import AppendReceipt, EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LmdbEventLog]:
    opened = LmdbEventLog(tmp_path / "events.lmdb")
    yield opened
    opened.close()


def slate(request_id: str) -> ShownSlate:
    return ShownSlate(
        request_id=request_id,
        user_id="u",
        event_time_seconds=1_000,
        surface="home",
        tier=common_pb2.TIER_REDUCED,
        reasons=(common_pb2.REASON_BACKLOG,),
        release_id="v000003",
        item_ids=("a", "b"),
        scores=np.array([0.5, 0.25], np.float32),
    )


def test_a_shown_slate_is_a_line_of_the_log(log: LmdbEventLog) -> None:
    metrics = Metrics()
    side_effect = ImpressionSideEffect(log, FakeClock(2_000), metrics)
    side_effect.record(slate("r1"))
    side_effect.close()
    (stored,) = log.read(0, 10)
    line = decoded(stored)
    assert line.ingestion_time_us == 2_000_000_000
    shown = line.event
    assert isinstance(shown, feedback_pb2.Impression)
    assert (shown.request_id, shown.user_id, shown.surface) == ("r1", "u", "home")
    assert shown.tier == common_pb2.TIER_REDUCED
    assert list(shown.reasons) == [common_pb2.REASON_BACKLOG]
    assert shown.release_id == "v000003"
    assert [(i.item_id, i.score, i.propensity) for i in shown.items] == [
        ("a", 0.5, 1.0),
        ("b", 0.25, 1.0),
    ]
    assert metrics.value(IMPRESSIONS_LOGGED) == 1


def test_a_slate_recorded_twice_is_one_line(log: LmdbEventLog) -> None:
    metrics = Metrics()
    side_effect = ImpressionSideEffect(log, FakeClock(), metrics)
    for name in ("r1", "r2", "r1"):
        side_effect.record(slate(name))
    side_effect.close()
    assert metrics.value(IMPRESSIONS_LOGGED) == 2
    assert [event.event_id for event in log.read(0, 10)] == [
        "impression:r1",
        "impression:r2",
    ]


def test_the_largest_slates_there_can_be_are_logged(log: LmdbEventLog) -> None:
    metrics = Metrics()
    side_effect = ImpressionSideEffect(log, FakeClock(), metrics)
    ids = tuple(f"{n:0256d}" for n in range(2_000))
    scores = np.zeros(2_000, np.float32)
    for number in range(3):
        large = replace(slate("r" * 250 + f"{number}"), item_ids=ids, scores=scores)
        side_effect.record(large)
    side_effect.close()
    assert metrics.value(IMPRESSIONS_LOGGED) == 3
    assert len(log.read(0, 10)) == 3


class StuckLog:
    """A log whose append waits for the test and then fails."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.gate = threading.Event()

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        self.started.set()
        assert self.gate.wait(timeout=10)
        raise UnavailableError("EIO")


def test_a_stuck_or_failing_log_costs_impressions_and_counts_them() -> None:
    metrics, stuck = Metrics(), StuckLog()
    side_effect = ImpressionSideEffect(
        stuck,  # type: ignore[arg-type]
        FakeClock(),
        metrics,
        max_pending=2,
    )
    side_effect.record(slate("in flight"))
    assert stuck.started.wait(timeout=10)
    for number in range(5):
        side_effect.record(slate(f"r{number}"))  # two wait, three are dropped
    assert metrics.value(IMPRESSIONS_DROPPED) == 3
    stuck.gate.set()
    side_effect.close()
    assert metrics.value(IMPRESSIONS_DROPPED) == 6
    assert metrics.value(IMPRESSIONS_LOGGED) == 0
    side_effect.record(slate("late"))
    assert metrics.value(IMPRESSIONS_DROPPED) == 7


class CountingLog:
    """A log that keeps the size of each append."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.appended = threading.Event()

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        self.sizes.append(len(records))
        self.appended.set()
        return AppendReceipt(tuple(range(len(records))), len(records))


def test_slates_are_written_in_groups_and_a_full_group_does_not_wait() -> None:
    log = CountingLog()
    side_effect = ImpressionSideEffect(
        log,  # type: ignore[arg-type]
        FakeClock(),
        Metrics(),
        group_seconds=600.0,
    )
    for number in range(64):
        side_effect.record(slate(f"r{number}"))
    assert log.appended.wait(timeout=10)
    side_effect.record(slate("last"))
    side_effect.close()
    assert log.sizes == [64, 1]


@pytest.mark.parametrize("propensities", [None, [0.25, 1.0, 0.0]])
def test_its_bytes_are_those_of_messages_made_one_by_one(
    propensities: list[float] | None,
) -> None:
    ids, scores = ("a", "Käse", "x" * 256), [0.0, -1.5, 3.25e8]
    shown = replace(
        slate("r"),
        item_ids=ids,
        scores=np.array(scores, np.float32),
        propensities=None if propensities is None else np.array(propensities, "f4"),
    )
    expected = [
        feedback_pb2.ShownItem(item_id=i, score=s, propensity=p)
        for i, s, p in zip(ids, scores, propensities or [1.0] * 3, strict=True)
    ]
    assert list(shown.to_message().items) == expected
    assert (
        not replace(shown, item_ids=(), scores=np.zeros(0, "f4"), propensities=None)
        .to_message()
        .items
    )
