"""The bounded queue before the workers: it is ours, so its age and order are seen."""

import math

from stepwell.front.admission import AdmissionTerms
from stepwell.front.call import Call
from stepwell.front.extension import load_extension


class AdmissionQueue:
    """First by priority, then by arrival; a newcomer passes `Admission` first.

    The front's I/O thread offers, without the interpreter, and answers those whom it
    refuses; workers take.

    Args:
        max_size: calls that may wait, 1 to 1,000,000.

    Concurrency: thread-safe; any number of takers.
    Cost: about 0.3 us a method. `take` gives up the GIL only when nothing waits.
    """

    def __init__(self, max_size: int) -> None:
        self._native = load_extension().AdmissionQueue(max_size)

    @property
    def native(self) -> object:
        """What the front is given."""
        return self._native

    def __len__(self) -> int:
        return sum(self.lengths())

    def take(self, timeout_seconds: float | None = None) -> Call | None:
        """Waits for the next call whose caller is still there.

        Returns:
            None on timeout, or once the queue is closed and empty.
        """
        call: Call | None = self._native.take(
            math.inf if timeout_seconds is None else timeout_seconds
        )
        return call

    def try_take(self) -> Call | None:
        """Returns the next call, None when nothing waits."""
        call: Call | None = self._native.try_take()
        return call

    def offer(self, call: Call) -> Call | None:
        """Does with a call what the front does with a newcomer.

        When the queue is full the lowest priority gives way, and within it the highest
        hash of the key, so that under lasting pressure the same users are served well.

        Returns:
            the call that had no place, which may be another one: it has failed and says
            why. None when all have.
        """
        refused: Call | None = self._native.offer(call)
        return refused

    def abandon(self, call: Call) -> bool:
        """Does what the front does when a caller goes; True when the call waited."""
        waited: bool = self._native.abandon(call)
        return waited

    def left(self, priority: int, idle: bool) -> None:
        """Notes that a call which was taken is decided.

        Args:
            priority: of the call.
            idle: it was young and nobody waited behind it.
        """
        self._native.left(priority, idle)

    def num_ahead(self, priority: int) -> int:
        """Returns how many calls would be taken before a new one of this priority.

        Those of a lower priority give way and those of callers who have gone are not
        served: neither counts.
        """
        num_ahead: int = self._native.num_ahead(priority)
        return num_ahead

    def lengths(self) -> tuple[int, int, int]:
        """Returns the number of waiting calls by priority."""
        lengths: tuple[int, int, int] = self._native.lengths()
        return lengths

    def oldest_age_us(self) -> int:
        """Returns the age of the call that has waited longest, 0 when none waits."""
        age_us: int = self._native.oldest_age_us()
        return age_us

    def set_terms(self, terms: AdmissionTerms) -> None:
        """Takes other terms from the next newcomer on.

        Raises:
            InvalidArgumentError: a term is out of range; names it.
        """
        self._native.set_terms(*terms)

    def set_max_size(self, max_size: int) -> None:
        """Takes another bound; when it is smaller, those who wait stay.

        Raises:
            InvalidArgumentError: max_size is not in [1, 1000000].
        """
        self._native.set_max_size(max_size)

    def close(self) -> None:
        """Takes nothing more in; what waits is still handed out."""
        self._native.close()
