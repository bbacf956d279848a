"""How fast a queue that is waited in drains."""

from stepwell.degradation.tier import BEST_FIRST, Tier

_WEIGHT_SHIFT = 5
"""A new interval weighs 1/32 in the mean."""

_SHARE_WEIGHT = 1 / 256
"""Of one that leaves, in the share of POPULAR: what a pause has piled up, some dozens
that are served at POPULAR, is no flood."""

MAX_INTERVAL_US = 1_000_000
MAX_GROWTH = 8
"""Longer intervals, and those over so many times the mean so far, are pauses of the
process, not the time of a request: the queue that piled up meanwhile drains no slower.
"""

FRESH_US = 1_000_000
"""What was measured longer ago says nothing of now."""


class Pace:
    """The time between two that leave a queue with others in it.

    That is what one takes of the server, with all that surrounds its work on a thread.

    Concurrency: none; the controller locks. Time comes with every call.
    Cost: about 0.2 us a call.
    """

    def __init__(self) -> None:
        self._left_us = 0
        self._left_tier: Tier | None = None
        self._popular_share = 0.0
        # Means, 32 times as large: whole microseconds would be rounded down each time.
        self._scaled_us = dict.fromkeys(BEST_FIRST, 0)
        self._measured_us = dict.fromkeys(BEST_FIRST, -2 * FRESH_US)

    def left(self, tier: Tier | None, num_waiting: int, now_us: int) -> None:
        """Notes that a request has left the queue and will be served at `tier`."""
        former = self._left_tier
        if former is not None:
            interval_us = min(now_us - self._left_us, MAX_INTERVAL_US)
            if now_us - self._measured_us[former] <= FRESH_US:
                mean_us = self._scaled_us[former] >> _WEIGHT_SHIFT
                interval_us = min(interval_us, MAX_GROWTH * max(mean_us, 1))
                self._scaled_us[former] += interval_us - mean_us
            else:
                self._scaled_us[former] = interval_us << _WEIGHT_SHIFT
            self._measured_us[former] = now_us
        self._left_us = now_us
        self._left_tier = tier if num_waiting else None
        self._popular_share += (
            (tier is Tier.POPULAR) - self._popular_share
        ) * _SHARE_WEIGHT

    @property
    def is_mostly_popular(self) -> bool:
        """Three in four of those that left lately were to be served at POPULAR."""
        return self._popular_share > 0.75

    def drain_us(self, tier: Tier, now_us: int) -> int:
        """Returns the mean time between two that leave a waiting queue for `tier`.

        0 when none was seen in the last second. Threads and batches are in it.
        """
        if now_us - self._measured_us[tier] > FRESH_US:
            return 0
        return self._scaled_us[tier] >> _WEIGHT_SHIFT
