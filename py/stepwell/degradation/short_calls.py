"""Calls that had little time: whose fault it is when they are not answered."""

_TELLING_FAILURES = 5
"""More calls than this in a row without an answer tell of the dependency."""


class ShortCalls:
    """Tells a dependency that is gone from calls that were late by themselves.

    A call that had less time than the dependency may take is late on a busy machine
    without anybody's fault, and a breaker that counted it would close a tier to all.
    Where the dependency answers nobody else either it is the dependency.

    Concurrency: thread-safe; a lost update of two threads does no harm.
    """

    def __init__(self) -> None:
        self._num_unanswered = 0  # in a row

    def answered(self) -> None:
        """Notes a call that was answered."""
        self._num_unanswered = 0

    def unanswered(self, *, is_short: bool) -> bool:
        """Notes one that was not; returns whether that tells of the dependency.

        Args:
            is_short: it had less time than the dependency may take.
        """
        self._num_unanswered += 1
        return not is_short or self._num_unanswered > _TELLING_FAILURES
