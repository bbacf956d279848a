import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import (
    CANARY_ANSWERS,
    CANARY_ROLLBACKS,
    CANARY_SERIAL,
)
from stepwell.base.metrics import Metrics
from stepwell.degradation.tier import Tier
from stepwell.feedback.logged_events import event_record
from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.releases.canary_route import CanaryRoute
from stepwell.serving import response_reader
from stepwell.serving.audit_log import AuditLog
from stepwell.serving.canary_watch import CanaryWatch, WatchParts
from stepwell.serving.release_outcomes import ReleaseOutcomes
from stepwell.serving.response_reader import ResponseReader
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

QUERY = Query("r", "ann", 1, 0, Deadline(FakeClock(), 0))
SLATE = Slate(
    RankedSet(
        CandidateSet.of_rows(np.zeros(0, np.int64)),
        np.zeros(0, np.float32),
        np.zeros((0, 1), np.float32),
    ),
    Tier.POPULAR,
)
ROUTE = CanaryRoute(2, 50_000, "salt")
CLICK, DISMISS = common_pb2.EVENT_TYPE_CLICK, common_pb2.EVENT_TYPE_DISMISS


class _Rollouts:
    def __init__(self) -> None:
        self.vetoes: list[tuple[int, str, str]] = []
        self.is_there = True

    def veto(self, serial: int, reason: str, evidence: str = "") -> bool:
        self.vetoes.append((serial, reason, evidence))
        return self.is_there


@dataclass
class _Bench:
    rollouts: _Rollouts
    outcomes: ReleaseOutcomes
    log: LmdbEventLog
    metrics: Metrics
    watch: CanaryWatch
    audit: Path

    def go_wrong(self) -> None:
        """Live answers 400 requests, the canary fails 20."""
        for _ in range(400):
            self.outcomes.answered(1, QUERY, SLATE, SLATE.tier)
        for _ in range(20):
            self.outcomes.failed(ROUTE.serial)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LmdbEventLog]:
    with closing(LmdbEventLog(tmp_path / "events")) as log:
        yield log


@pytest.fixture
def bench(tmp_path: Path, log: LmdbEventLog) -> Iterator[_Bench]:
    rollouts, outcomes, metrics = _Rollouts(), ReleaseOutcomes(), Metrics()
    audit = tmp_path / "audit.jsonl"
    parts = WatchParts(
        rollouts, outcomes, ResponseReader(log), AuditLog(audit, FakeClock())
    )
    # Its thread never looks by itself within a test.
    watch = CanaryWatch(parts, metrics, look_seconds=3_600.0)
    yield _Bench(rollouts, outcomes, log, metrics, watch, audit)
    watch.close()


def test_takes_a_bad_canary_down_once_with_its_reason(bench: _Bench) -> None:
    bench.watch.begin(ROUTE)
    assert bench.watch.look().is_ok
    bench.go_wrong()
    found = bench.watch.look()
    assert bench.rollouts.vetoes == [(2, "errors", found.evidence)]
    assert bench.metrics.value(CANARY_ROLLBACKS, "errors") == 1
    assert bench.metrics.value(CANARY_ANSWERS) == 20
    (line,) = bench.audit.read_text().splitlines()
    assert json.loads(line)["reason"] == f"errors: {found.evidence}"


def test_a_canary_that_is_gone_already_is_no_rollback(bench: _Bench) -> None:
    bench.watch.begin(ROUTE)
    bench.go_wrong()
    bench.rollouts.is_there = False
    bench.watch.look()
    assert bench.metrics.value(CANARY_ROLLBACKS, "errors") == 0
    assert not bench.audit.exists()


def test_without_a_canary_or_with_a_shadow_nothing_is_compared(bench: _Bench) -> None:
    assert bench.watch.look().is_ok
    bench.watch.begin(CanaryRoute(2, 50_000, "salt", is_shadow=True))
    assert bench.metrics.value(CANARY_SERIAL) == 2
    bench.go_wrong()
    assert bench.watch.look().is_ok
    bench.watch.begin(ROUTE)
    bench.watch.end(ROUTE.serial)
    bench.go_wrong()
    assert bench.watch.look().is_ok
    assert bench.metrics.value(CANARY_SERIAL) == 0


def test_the_late_end_of_one_trial_is_not_that_of_the_next(bench: _Bench) -> None:
    bench.watch.begin(CanaryRoute(1, 50_000, "salt"))
    bench.watch.begin(ROUTE)
    bench.watch.end(1)
    assert bench.metrics.value(CANARY_SERIAL) == ROUTE.serial
    bench.go_wrong()
    assert bench.watch.look().reason == "errors"


def test_another_live_release_begins_the_comparison_anew(bench: _Bench) -> None:
    bench.watch.begin(ROUTE)
    bench.go_wrong()
    bench.watch.restart()
    assert bench.watch.look().is_ok
    assert bench.outcomes.arms()[1].num_answers == 0


def test_looks_on_while_the_log_does_not_answer(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.watch.begin(ROUTE)

    def lost(*_: object) -> None:
        raise UnavailableError("the log is gone")

    monkeypatch.setattr(LmdbEventLog, "read_except", lost)
    bench.go_wrong()
    assert bench.watch.look().reason == "errors"


def test_a_trial_begins_while_the_log_does_not_answer(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise UnavailableError("the log is gone")

    with monkeypatch.context() as without_log:
        without_log.setattr(LmdbEventLog, "end_offset", lost)
        bench.watch.begin(ROUTE)
        bench.watch.restart()
        assert bench.watch.look().is_ok
    bench.outcomes.answered(
        ROUTE.serial, QUERY, replace(SLATE, tier=Tier.FULL), Tier.FULL
    )
    clicked(bench.log, 0, QUERY.request_id)  # before it knows where the log ends
    assert bench.watch.look().is_ok
    clicked(bench.log, 1, QUERY.request_id)
    assert bench.watch.look().is_ok
    assert bench.outcomes.arms()[1].responses.sum() == 1


def clicked(
    log: LmdbEventLog,
    number: int,
    request_id: str,
    kind: "common_pb2.EventType" = CLICK,
) -> None:
    event = feedback_pb2.Event(
        event_id=f"e{number}", user_id="u", item_id="i", request_id=request_id
    )
    event.event_type = kind
    log.append([event_record(event, 0)])


def test_reads_the_responses_that_came_since_it_began(log: LmdbEventLog) -> None:
    told: list[str] = []
    clicked(log, 0, "before")
    reader = ResponseReader(log)
    reader.begin()
    clicked(log, 1, "r1")
    clicked(log, 2, "r2", DISMISS)
    clicked(log, 3, "")
    clicked(log, 4, "r1", common_pb2.EVENT_TYPE_PURCHASE)
    reader.catch_up(told.append)
    reader.catch_up(told.append)
    assert told == ["r1", "r1"]


def test_reads_to_the_end_however_many_lines_there_are(
    log: LmdbEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_reader, "MAX_LINES", 2)
    told: list[str] = []
    reader = ResponseReader(log)
    reader.begin()
    for number in range(5):
        clicked(log, number, f"r{number}")
    reader.catch_up(told.append)
    assert told == ["r0", "r1", "r2", "r3", "r4"]


def test_a_log_that_outruns_its_reader_is_read_on_from_its_end(
    log: LmdbEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_reader, "MAX_LINES", 1)
    monkeypatch.setattr(response_reader, "MAX_READINGS", 2)
    told: list[str] = []
    reader = ResponseReader(log)
    reader.begin()
    for number in range(5):
        clicked(log, number, f"r{number}")
    with capture_logs() as logs:
        reader.catch_up(told.append)
    assert [line["log_level"] for line in logs] == ["warning"]
    clicked(log, 5, "r5")
    reader.catch_up(told.append)
    assert told == ["r0", "r1", "r5"]
