"""The thread follows the log, lets nobody wait for long, and says when it is paused."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import UPDATER_PAUSED
from stepwell.base.metrics import Metrics
from stepwell.feedback.turn import NO_OTHERS, FileTurn, Turn
from stepwell.feedback.updater_thread import UpdaterThread

PATIENCE_S = 30.0


class Updater:
    """Counts its passes; each one waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()
        self.passes = 0
        self.paused = False
        self.fails = False

    def catch_up(self) -> int:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        self.passes += 1
        if self.fails:
            raise UnavailableError("the store is gone")
        return 0

    def next_offset(self) -> int | None:
        return None if self.paused else 0


class Retention:
    """Remembers what it was told; fails when it is told to."""

    def __init__(self) -> None:
        self.told: list[int | None] = []
        self.fails = False

    def trim_when_due(self, consumed_offset: int | None) -> int:
        self.told.append(consumed_offset)
        if self.fails:
            raise UnavailableError("the log is gone")
        return 0


def _thread(
    updater: Updater, retention: Retention, metrics: Metrics, turn: Turn = NO_OTHERS
) -> UpdaterThread:
    return UpdaterThread(
        updater,  # type: ignore[arg-type]
        retention,  # type: ignore[arg-type]
        metrics,
        interval_s=3_600,
        turn=turn,
    )


@pytest.fixture
def updater() -> Updater:
    return Updater()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def retention() -> Retention:
    return Retention()


@pytest.fixture
def thread(
    updater: Updater, retention: Retention, metrics: Metrics
) -> Iterator[UpdaterThread]:
    made = _thread(updater, retention, metrics)
    yield made
    updater.gate.set()
    made.close()


def test_what_was_asked_for_has_a_pass_that_began_after_it(
    thread: UpdaterThread, updater: Updater
) -> None:
    assert thread.applied_within(PATIENCE_S)
    before = updater.passes
    assert thread.applied_within(PATIENCE_S)
    assert updater.passes > before


def test_nobody_waits_longer_than_he_said_for_a_long_pass(
    thread: UpdaterThread, updater: Updater
) -> None:
    assert thread.applied_within(PATIENCE_S)
    updater.gate.clear()
    assert not thread.applied_within(0.01)
    updater.gate.set()
    assert thread.applied_within(PATIENCE_S)


def test_a_failed_pass_lets_the_thread_live(
    thread: UpdaterThread, updater: Updater
) -> None:
    updater.fails = True
    assert thread.applied_within(PATIENCE_S)
    updater.fails = False
    assert thread.applied_within(PATIENCE_S)


def test_closing_makes_one_more_pass(updater: Updater, metrics: Metrics) -> None:
    made = _thread(updater, Retention(), metrics)
    assert made.applied_within(PATIENCE_S)
    before = updater.passes
    made.close()
    assert updater.passes == before + 1


def test_a_pause_is_a_gauge_and_one_line_each_way(
    thread: UpdaterThread, updater: Updater, metrics: Metrics
) -> None:
    with capture_logs() as lines:
        updater.paused = True
        for _ in range(3):
            assert thread.applied_within(PATIENCE_S)
        assert metrics.value(UPDATER_PAUSED) == 1.0
        updater.paused = False
        for _ in range(2):
            assert thread.applied_within(PATIENCE_S)
    assert metrics.value(UPDATER_PAUSED) == 0.0
    assert [line["event"] for line in lines] == [
        "user state is paused",
        "user state follows the log again",
    ]


def test_the_log_is_trimmed_below_what_was_applied_and_may_fail_to_be(
    thread: UpdaterThread, updater: Updater, retention: Retention
) -> None:
    retention.fails = True
    assert thread.applied_within(PATIENCE_S)
    updater.paused = True
    assert thread.applied_within(PATIENCE_S)
    assert retention.told[-1] is None
    assert 0 in retention.told
    before = len(retention.told)
    updater.fails = True
    assert thread.applied_within(PATIENCE_S)
    assert len(retention.told) == before


def test_while_another_process_has_the_turn_nothing_is_folded_and_then_it_is(
    updater: Updater, retention: Retention, metrics: Metrics, tmp_path: Path
) -> None:
    # Two open files are two holders to the kernel, as two processes are.
    other = FileTurn(tmp_path / "lock")
    assert other.try_take()
    thread = _thread(updater, retention, metrics, FileTurn(tmp_path / "lock"))
    assert not thread.applied_within(0.02)
    assert updater.passes == 0
    other.give_up()
    assert thread.applied_within(PATIENCE_S)
    assert updater.passes > 0
    thread.close()


def test_a_thread_that_ends_does_not_wait_for_its_turn(
    updater: Updater, retention: Retention, metrics: Metrics, tmp_path: Path
) -> None:
    other = FileTurn(tmp_path / "lock")
    assert other.try_take()
    thread = _thread(updater, retention, metrics, FileTurn(tmp_path / "lock"))
    thread.close()
    assert updater.passes == 0


def test_the_turn_is_free_between_passes(
    updater: Updater, retention: Retention, metrics: Metrics, tmp_path: Path
) -> None:
    thread = _thread(updater, retention, metrics, FileTurn(tmp_path / "lock"))
    assert thread.applied_within(PATIENCE_S)
    assert FileTurn(tmp_path / "lock").try_take()
    thread.close()
