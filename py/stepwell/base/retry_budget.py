"""A budget for retries: bounded extra load, however dead the other side is."""

import threading

_MILLI = 1_000


class RetryBudget:
    """A token bucket that first attempts fill and retries empty.

    Every first attempt adds `ratio_permille` / 1000 of a token and every retry or hedge
    takes one, so over time the extra load is at most that share of the traffic, plus
    the bucket's content once.

    Args:
        ratio_permille: extra load allowed, in thousandths; 100 is 10 %.
        max_tokens: content of the full bucket, the burst of retries allowed.

    Concurrency: thread-safe. Cost: one uncontended lock, about 0.2 us.
    """

    def __init__(self, ratio_permille: int = 100, max_tokens: int = 10) -> None:
        if not 0 <= ratio_permille <= _MILLI:
            raise ValueError(
                f"ratio_permille is {ratio_permille}, must be in [0, 1000]"
            )
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}, must be >= 1")
        self._ratio_permille = ratio_permille
        self._limit_millitokens = max_tokens * _MILLI
        # Starts full: the first failures after a start may be retried.
        self._millitokens = self._limit_millitokens
        self._lock = threading.Lock()

    def on_first_attempt(self) -> None:
        """Counts a call that is not a retry."""
        with self._lock:
            refilled = self._millitokens + self._ratio_permille
            self._millitokens = min(refilled, self._limit_millitokens)

    def try_spend(self) -> bool:
        """Takes a token for one retry; False means do not retry."""
        with self._lock:
            if self._millitokens < _MILLI:
                return False
            self._millitokens -= _MILLI
            return True

    @property
    def tokens(self) -> float:
        """Retries that could be spent now."""
        with self._lock:
            return self._millitokens / _MILLI
