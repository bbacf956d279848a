"""Who may enter the queue: the rule, for the simulator; the server's queue has its own.

One piece of C++ decides for both.
"""

from typing import NamedTuple

from stepwell.front.extension import load_extension


class AdmissionTerms(NamedTuple):
    """What the ladder knows and admission needs; times in microseconds.

    Attributes:
        budget_us: the time that a request should take from arrival to answer.
        popular_mean_us: of a worker, for an answer at POPULAR.
        popular_p95_us: the same for all but a few.
        pace_us: measured time between two that leave a waiting queue at POPULAR; 0
            while unknown.
        parallelism: workers.
        batch_size: requests that each answers at once.
        standing_us: a queue that has been waited in for so long stands.
        can_step_down: those who wait can still be served at a lower tier than is usual
            now: nobody is refused for a queue that stands.
    """

    budget_us: int = 100_000
    popular_mean_us: int = 300
    popular_p95_us: int = 500
    pace_us: int = 0
    parallelism: int = 1
    batch_size: int = 1
    standing_us: int = 100_000
    can_step_down: bool = False


class Admission:
    """Refuses whom not even POPULAR would answer before the deadline.

    When for `standing_us` requests have had to wait for more than an eighth of their
    budget, those are refused whom it would cost more than half: to let that queue grow
    makes every answer late and serves nobody more. A shorter burst will drain. Calm
    takes back four times what waiting adds. Of the time between two requests no more
    than 5 ms counts: what piled up in a pause of the process is no standing queue.

    Args:
        now_us: time of the start. Time comes with every call and never runs back.

    Concurrency: none. Cost: about 0.2 us a call.
    """

    def __init__(self, now_us: int = 0) -> None:
        self._native = load_extension().Admission(now_us)

    def set_terms(self, terms: AdmissionTerms) -> None:
        """Takes other terms from the next request on.

        Raises:
            InvalidArgumentError: a term is out of range; names it.
        """
        self._native.set_terms(*terms)

    def admits(
        self,
        priority: int,
        age_us: int,
        deadline_us: int,
        forced: bool,
        num_ahead: int,
        now_us: int,
    ) -> bool:
        """Says whether a request may enter behind `num_ahead` others.

        Args:
            priority: 0 to 2.
            age_us: since it arrived.
            deadline_us: from its arrival to its deadline.
            forced: it asks for one tier and may take all of its deadline for it.
            num_ahead: requests that would be taken before it.
            now_us: time.
        """
        admitted: bool = self._native.admits(
            priority, age_us, deadline_us, forced, num_ahead, now_us
        )
        return admitted

    def left(self, priority: int, idle: bool, now_us: int) -> None:
        """Notes a request that leaves the queue.

        Args:
            priority: of the request.
            idle: it was young and nobody waited behind it.
            now_us: time.
        """
        self._native.left(priority, idle, now_us)

    def pushback_ms(self, num_ahead: int) -> int:
        """Returns after how long a refused one should come back, at least 1 ms."""
        after_ms: int = self._native.pushback_ms(num_ahead)
        return after_ms
