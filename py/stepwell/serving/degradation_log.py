"""One log line when the service begins to degrade, one when it is well again."""

import threading
from collections.abc import Iterable

import structlog

from stepwell.base.clock import Clock
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier

_log = structlog.get_logger(__name__)

QUIET_US = 10_000_000
"""A reason that was not seen for so long is over."""

_ON_PURPOSE = frozenset(
    {Reason.FORCED, Reason.EXERCISE, Reason.PROBE, Reason.MISSING_USER}
)


class DegradationLog:
    """Notes the reasons of answers; speaks when one begins and when it is over.

    Reasons that are somebody's will, and strangers, are counted elsewhere and are no
    degradation of the service.

    Concurrency: thread-safe. Cost: below 1 us while nothing changes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_seen_us: dict[Reason, int] = {}
        self._lock = threading.Lock()

    def note(self, tier: Tier, reasons: Iterable[Reason]) -> None:
        """Tells of one answer."""
        happened = [reason for reason in reasons if reason not in _ON_PURPOSE]
        if not happened and not self._last_seen_us:
            return
        now_us = self._clock.monotonic_us()
        with self._lock:
            for reason in happened:
                if reason not in self._last_seen_us:
                    _log.warning("degraded", reason=reason.label, tier=tier.label)
                self._last_seen_us[reason] = now_us
            for reason, seen_us in list(self._last_seen_us.items()):
                if now_us - seen_us >= QUIET_US:
                    del self._last_seen_us[reason]
                    _log.info("recovered", reason=reason.label, tier=tier.label)
