"""What stands before the workers, as the ladder sees it."""

from typing import Protocol

from stepwell.front.admission import AdmissionTerms


class Gate(Protocol):
    """Lets requests into the queue or refuses them, by the ladder's terms.

    A server's is the queue of its callers' front, a simulated one's the rule alone.
    Concurrency: thread-safe where the ladder is used by several threads.
    """

    def set_terms(self, terms: AdmissionTerms, /) -> None:
        """Takes the terms that count from the next request on."""
        ...

    def left(self, priority: int, is_idle: bool, /) -> None:
        """Notes a request that has left the queue.

        Args:
            priority: of the request.
            is_idle: it was young, and nobody waits behind it.
        """
        ...


class NoGate:
    """Nobody is refused: what a ladder has until it is given a gate."""

    def set_terms(self, _terms: AdmissionTerms) -> None:
        """Nothing depends on them."""

    def left(self, _priority: int, _is_idle: bool) -> None:
        """Nothing depends on it."""
