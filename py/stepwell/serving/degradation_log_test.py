"""The log speaks at the beginning and at the end, not in between."""

from structlog.testing import capture_logs

from stepwell.base.clock import FakeClock
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.serving.degradation_log import QUIET_US, DegradationLog


def test_one_line_when_it_begins_and_one_when_it_is_over() -> None:
    clock = FakeClock()
    log = DegradationLog(clock)
    with capture_logs() as lines:
        for _ in range(50):
            log.note(Tier.REDUCED, [Reason.BACKLOG])
            clock.advance_us(1_000)
        clock.advance_us(QUIET_US)
        log.note(Tier.FULL, [])
        log.note(Tier.FULL, [])
    events = [(line["event"], line["reason"], line["tier"]) for line in lines]
    assert events == [
        ("degraded", "backlog", "reduced"),
        ("recovered", "backlog", "full"),
    ]


def test_a_reason_that_comes_back_soon_is_still_the_same_trouble() -> None:
    clock = FakeClock()
    log = DegradationLog(clock)
    with capture_logs() as lines:
        log.note(Tier.REDUCED, [Reason.BACKLOG])
        clock.advance_us(QUIET_US - 1)
        log.note(Tier.FULL, [])
        log.note(Tier.REDUCED, [Reason.BACKLOG])
        clock.advance_us(QUIET_US - 1)
        log.note(Tier.FULL, [])
    assert len(lines) == 1


def test_what_somebody_wants_is_no_trouble() -> None:
    with capture_logs() as lines:
        log = DegradationLog(FakeClock())
        for reason in (Reason.FORCED, Reason.EXERCISE, Reason.MISSING_USER):
            log.note(Tier.POPULAR, [reason])
    assert lines == []
