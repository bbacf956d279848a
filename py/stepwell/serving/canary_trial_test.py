import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import DeadlineExceededError, InvalidArgumentError
from stepwell.base.metrics import Metrics
from stepwell.degradation.controller import Arrival
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierDecision
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.handle import Release, ReleaseHandle, ReleaseHolder
from stepwell.releases.manifest import Manifest
from stepwell.serving.answering import Answered, Answering
from stepwell.serving.call import Call
from stepwell.serving.canary_trial import CanaryFailedError, CanaryTrial
from stepwell.serving.engine import Engine
from stepwell.serving.query_maker import QueryMaker
from stepwell.serving.release_outcomes import ReleaseOutcomes
from stepwell.serving.shadow import ShadowRuns
from stepwell.serving.shown_slates import ShownSlates

LIVE, CANARY = 1, 2
SMALL, LARGE = (CanaryRoute(CANARY, ppm, "salt") for ppm in (50_000, 500_000))
DECISION = TierDecision(Tier.FULL)


class _Lender:
    """Lends the canary to everybody."""

    live_serial = LIVE

    def __init__(self, canary: CanaryRoute | None = None) -> None:
        self.canary = canary

    def borrow(self, user_id: str | None = None) -> ReleaseHandle[Engine]:
        return _handle(CANARY)

    def borrow_live(self) -> ReleaseHandle[Engine]:
        return _handle(LIVE)


def _handle(serial: int) -> ReleaseHandle[Engine]:
    manifest = cast(Manifest, SimpleNamespace(serial=serial))
    release = Release(manifest, Path(), cast(Engine, None))
    handle = ReleaseHolder(release, lambda: None).try_borrow()
    assert handle is not None
    return handle


class _Failing(Answering):
    """Answers what live is asked; the canary fails, after a while."""

    def __init__(self, route: CanaryRoute | None, error: Exception) -> None:
        self.clock = FakeClock()
        parts = cast(QueryMaker, None), cast(ShownSlates, None)
        super().__init__(trial(lender=_Lender(route)), *parts, self.clock, Metrics())
        self.takes_us = 0
        self.asked: weakref.ref[Release[Engine]] | None = None
        self._error = error

    def ask(self) -> Answered:
        now_us = self.clock.monotonic_us()
        arrival = Arrival(now_us, now_us + 100_000, 0, 999_999)
        return self(Call("r", "ann", 10, arrival), DECISION, 0)

    def _answered(self, release: Release[Engine], *_: Any) -> Answered:
        self.clock.advance_us(self.takes_us)
        if release.manifest.serial == LIVE:
            return Answered(b"live", Tier.FULL)
        self.asked = weakref.ref(release)
        raise self._error


def trial(
    outcomes: ReleaseOutcomes | None = None, lender: _Lender | None = None
) -> CanaryTrial:
    return CanaryTrial(
        lender or _Lender(),
        outcomes or ReleaseOutcomes(),
        cast(ShadowRuns, None),
        Metrics(),
    )


def test_what_a_canary_fails_is_retried_after_its_trial_ended_too() -> None:
    over = trial()
    assert over.is_retried(CANARY, RuntimeError("a bug"))
    assert not over.is_retried(LIVE, RuntimeError("a bug"))
    assert not over.is_retried(CANARY, InvalidArgumentError("bad", "user_id"))


def test_a_callers_mistake_is_no_failure_of_the_release() -> None:
    outcomes = ReleaseOutcomes()
    outcomes.begin(CANARY)
    running = trial(outcomes)
    running.failed(CANARY, InvalidArgumentError("bad", "user_id"))
    running.failed(CANARY, RuntimeError("a bug"))
    _, canary = outcomes.arms()
    assert (canary.num_answers, canary.num_errors) == (1, 1)


@pytest.mark.parametrize(
    ("route", "teaches"),
    [
        (SMALL, {LIVE: True, CANARY: False}),
        (LARGE, {LIVE: True, CANARY: True}),
        # Taken down while its last answers are under way.
        (None, {LIVE: True, CANARY: False}),
    ],
)
def test_the_ladder_learns_from_live_and_from_a_large_canary(
    route: CanaryRoute | None, teaches: dict[int, bool]
) -> None:
    running = trial(lender=_Lender(route))
    call, query, slate = cast(Call, None), cast(Query, None), cast(Slate, None)
    for serial, expected in teaches.items():
        with _handle(serial) as release:
            learns = running.answered(release, call, query, slate, Tier.FULL)
        assert learns is expected
        assert running.failed(serial, RuntimeError("a bug")) is expected


def test_a_small_canary_that_fails_too_late_is_told_apart() -> None:
    for error, code in (
        (RuntimeError("a bug"), "INTERNAL"),
        (DeadlineExceededError("late"), "DEADLINE_EXCEEDED"),
    ):
        late = _Failing(SMALL, error)
        late.takes_us = 200_000
        with pytest.raises(CanaryFailedError, match="no time was left") as failed:
            late.ask()
        assert failed.value.code == code
    late = _Failing(LARGE, RuntimeError("a bug"))
    late.takes_us = 200_000
    with pytest.raises(RuntimeError, match="a bug"):
        late.ask()


def test_a_canarys_error_does_not_keep_its_release() -> None:
    failing = _Failing(SMALL, RuntimeError("a bug"))
    assert failing.ask() == Answered(b"live", Tier.FULL, teaches=False)
    assert failing.asked is not None and failing.asked() is None
