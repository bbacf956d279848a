"""Whether a queue only swells for a moment or stands, and how fast it drains."""

from stepwell.degradation.admission_queue import Priority
from stepwell.degradation.tier import BEST_FIRST, Tier

_WEIGHT_SHIFT = 5
"""A new interval weighs 1/32 in the mean."""

MAX_INTERVAL_US = 1_000_000
"""Longer intervals are pauses of the process, not the time of a request."""


# An enum is slow to walk.
_PLACES = tuple(int(priority) for priority in Priority)

LONGEST_GAP_US = 5_000
"""Of the time between two requests no more counts as time at work."""

FRESH_US = 1_000_000
"""What was measured longer ago says nothing of now."""


class QueueWatch:
    """What admission knows of the queue beside its length.

    A queue that has not been empty for a while is standing: letting it grow on makes
    every answer late and serves nobody more. One that swells with a burst will drain.
    The distinction is CoDel's (Nichols & Jacobson, ACM Queue 2012), by emptiness in
    place of the lowest delay. A pause of the process is no standing queue: what piled
    up meanwhile drains at once, so of a gap between two requests little counts.

    Concurrency: none; the controller locks. Time comes with every call.
    Cost: about 0.2 us a call.
    """

    def __init__(self, now_us: int) -> None:
        # By priority: time at work since nobody was ahead of a new one.
        self._standing_us = [0 for _ in Priority]
        self._seen_us = now_us
        self._left_us = now_us
        self._left_tier: Tier | None = None
        self._interval_us = dict.fromkeys(BEST_FIRST, 0)
        self._measured_us = dict.fromkeys(BEST_FIRST, 0)

    def seen(self, priority: Priority, now_us: int, *, idle: bool) -> int:
        """Notes a request that comes or leaves, and whether nobody is ahead of it.

        Returns:
            for how long somebody has always been ahead of this priority, microseconds.
        """
        gap_us = min(now_us - self._seen_us, LONGEST_GAP_US)
        self._seen_us = now_us
        standing = self._standing_us
        for place in _PLACES:
            standing[place] += gap_us
            if idle and place <= priority:
                standing[place] = 0
        return standing[priority]

    def left(self, tier: Tier | None, num_waiting: int, now_us: int) -> None:
        """Notes that a request has left the queue and will be served at `tier`.

        The time between two that leave a queue with requests in it is what one takes of
        the server, with all that surrounds its work on a thread.
        """
        if self._left_tier is not None:
            interval_us = min(now_us - self._left_us, MAX_INTERVAL_US)
            mean_us = self._interval_us[self._left_tier]
            if mean_us and now_us - self._measured_us[self._left_tier] <= FRESH_US:
                interval_us = mean_us + ((interval_us - mean_us) >> _WEIGHT_SHIFT)
            self._interval_us[self._left_tier] = interval_us
            self._measured_us[self._left_tier] = now_us
        self._left_us = now_us
        self._left_tier = tier if num_waiting else None

    def drain_us(self, tier: Tier, now_us: int) -> int:
        """Returns the mean time between two that leave a waiting queue for `tier`.

        0 when none was seen in the last second. Threads and batches are in it.
        """
        if now_us - self._measured_us[tier] > FRESH_US:
            return 0
        return self._interval_us[tier]
