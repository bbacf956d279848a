from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog

from stepwell.base.clock import FakeClock
from stepwell.base.metric_names import IMPRESSIONS_DROPPED, IMPRESSIONS_LOGGED
from stepwell.base.metrics import Metrics
from stepwell.feedback.impression import QUIET_US, ImpressionSideEffect
from stepwell.feedback.logged_events import LoggedLine, decoded
from stepwell.feedback.shown_slate import ShownSlate
from stepwell.stores.event_log import EventRecord, PostedCounts
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


def lines_after(tmp_path: Path, log: LmdbEventLog) -> list[LoggedLine]:
    """What the log holds once it has been closed."""
    log.close()
    again = LmdbEventLog(tmp_path / "events.lmdb")
    lines = [decoded(stored) for stored in again.read(0, 10)]
    again.close()
    return lines


def shown_in(line: LoggedLine) -> feedback_pb2.Impression:
    assert isinstance(line.event, feedback_pb2.Impression)
    return line.event


def test_a_shown_slate_is_a_line_of_the_log(tmp_path: Path, log: LmdbEventLog) -> None:
    metrics = Metrics()
    side_effect = ImpressionSideEffect(log, FakeClock(2_000), metrics)
    side_effect.record(slate("r1"))
    (line,) = lines_after(tmp_path, log)
    side_effect.close()
    assert line.ingestion_time_us == 2_000_000_000
    shown = shown_in(line)
    assert (shown.request_id, shown.user_id, shown.surface) == ("r1", "u", "home")
    assert shown.tier == common_pb2.TIER_REDUCED
    assert list(shown.reasons) == [common_pb2.REASON_BACKLOG]
    assert shown.release_id == "v000003"
    assert [(i.item_id, i.score, i.propensity) for i in shown.items] == [
        ("a", 0.5, 1.0),
        ("b", 0.25, 1.0),
    ]
    assert metrics.value(IMPRESSIONS_LOGGED) == 1
    assert metrics.value(IMPRESSIONS_DROPPED) == 0


def test_a_slate_recorded_twice_is_one_line(tmp_path: Path, log: LmdbEventLog) -> None:
    metrics = Metrics()
    side_effect = ImpressionSideEffect(log, FakeClock(), metrics)
    for name in ("r1", "r2", "r1"):
        side_effect.record(slate(name))
    lines = lines_after(tmp_path, log)
    side_effect.close()
    assert metrics.value(IMPRESSIONS_LOGGED) == 2
    assert metrics.value(IMPRESSIONS_DROPPED) == 0
    assert [shown_in(line).request_id for line in lines] == ["r1", "r2"]


def test_the_largest_slates_there_can_be_are_logged(
    tmp_path: Path, log: LmdbEventLog
) -> None:
    side_effect = ImpressionSideEffect(log, FakeClock(), Metrics())
    ids = tuple(f"{n:0256d}" for n in range(2_000))
    scores = np.zeros(2_000, np.float32)
    for number in range(3):
        large = replace(slate("r" * 250 + f"{number}"), item_ids=ids, scores=scores)
        side_effect.record(large)
    lines = lines_after(tmp_path, log)
    assert [len(shown_in(line).items) for line in lines] == [2_000] * 3


def test_a_slate_over_the_limit_of_a_line_costs_an_impression_and_no_answer(
    log: LmdbEventLog,
) -> None:
    metrics = Metrics()
    side_effect = ImpressionSideEffect(log, FakeClock(), metrics)
    side_effect.record(slate("r" * 300))
    assert metrics.value(IMPRESSIONS_DROPPED) == 1


class ScriptedLog:
    """A log whose answers the test gives."""

    def __init__(self) -> None:
        self.takes = True
        self.counts = PostedCounts(0, 0, 0)

    def post(self, record: EventRecord) -> bool:
        return self.takes

    def posted(self) -> PostedCounts:
        return self.counts


class Watched:
    """The side effect over a scripted log."""

    def __init__(self) -> None:
        self.log, self.clock, self.metrics = ScriptedLog(), FakeClock(), Metrics()
        self.side_effect = ImpressionSideEffect(
            self.log,  # type: ignore[arg-type]
            self.clock,
            self.metrics,
        )

    def said_by(self, *actions: str) -> list[tuple[int, str]]:
        with structlog.testing.capture_logs() as lines:
            for action in actions:
                getattr(self.side_effect, action)()
        return [(line["number"], line["error"]) for line in lines]


def test_a_refused_slate_is_counted_at_once_and_said_at_the_next_look() -> None:
    watched = Watched()
    watched.log.takes = False
    for number in range(3):
        watched.side_effect.record(slate(f"r{number}"))
    assert watched.metrics.value(IMPRESSIONS_DROPPED) == 3
    assert watched.said_by("refresh") == [(3, "the log's queue is full or closed")]


def test_what_the_log_lost_is_counted_once_and_said_with_its_cause() -> None:
    watched = Watched()
    watched.log.counts = PostedCounts(4, 1, 2, "EIO")
    assert watched.said_by("refresh", "refresh") == [(2, "EIO")]
    assert watched.metrics.value(IMPRESSIONS_DROPPED) == 2
    assert watched.metrics.value(IMPRESSIONS_LOGGED) == 4


def test_losses_are_said_at_most_every_ten_seconds_and_all_at_the_end() -> None:
    watched = Watched()
    said = []
    for step in range(1, 4):
        watched.log.counts = PostedCounts(0, 0, step, "EIO")
        said.append(watched.said_by("refresh"))
        watched.clock.advance_us(QUIET_US // 2)
    assert said == [[(1, "EIO")], [], [(2, "EIO")]]
    watched.log.counts = PostedCounts(0, 0, 7, "closed")
    assert watched.said_by("close") == [(4, "closed")]
    assert watched.metrics.value(IMPRESSIONS_DROPPED) == 7
