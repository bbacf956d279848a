"""The online store behind its circuit breaker."""

from collections.abc import Mapping, Sequence

from stepwell.base.clock import Clock
from stepwell.base.errors import UnavailableError
from stepwell.degradation.circuit_breaker import CircuitBreaker
from stepwell.degradation.guarded_calls import GuardedCalls
from stepwell.stores.key_value_store import Guard, KeyValueStore


class GuardedStore:
    """A KeyValueStore whose reads stop while the store is slow or failing.

    Writes pass: they are not on the request path and their errors are their caller's.

    Concurrency: as the store's.
    """

    def __init__(
        self, store: KeyValueStore, breaker: CircuitBreaker, clock: Clock
    ) -> None:
        self._store = store
        self._breaker = breaker
        self._reads = GuardedCalls("online store", breaker, clock)

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        """As the store's; UnavailableError at once while the breaker is open."""
        return self.get_rows([(view, key) for key in keys], timeout_us)

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        """As the store's; UnavailableError at once while the breaker is open."""
        if timeout_us is not None and timeout_us <= 0:
            raise UnavailableError("no time is left for the online store")

        def was_short(_: int) -> bool:
            enough_us = self._breaker.options.slow_call_us
            return timeout_us is not None and timeout_us < enough_us

        return self._reads.call(
            lambda: self._store.get_rows(rows, timeout_us), was_short
        )

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        """As the store's."""
        self._store.put_many(view, values)

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        """As the store's."""
        return self._store.write_if(guard, changes)

    def close(self) -> None:
        """As the store's."""
        self._store.close()
