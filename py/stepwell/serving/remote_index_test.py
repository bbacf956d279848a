"""The guard of a remote index: late connection, breaker, nothing hidden."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import (
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
)
from stepwell.embeddings.shard_map import Shard
from stepwell.index.ann_index import FlatIndex
from stepwell.serving.remote_index import GuardedIndex, RemoteIndex

VECTORS = np.eye(8, dtype=np.float32)


class _Index:
    """An exact index that fails when it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.takes_us = clock, 0
        self._index = FlatIndex.build(VECTORS, np.arange(8))
        self.error: Exception | None = None
        self.num_searches = 0
        self.upsert, self.delete = self._index.upsert, self._index.delete
        self.save, self.stats = self._index.save, self._index.stats

    def search(self, *args: Any, **kwargs: Any) -> Any:
        self.num_searches += 1
        self.clock.advance_us(self.takes_us)
        if self.error is not None:
            raise self.error
        return self._index.search(*args, **kwargs)


class _Guarded:
    """A guard over an index that is there, or comes later."""

    def __init__(self, connect: Callable[[float], Any] | None = None) -> None:
        self.clock = FakeClock()
        self.index = _Index(self.clock)
        options = BreakerOptions(slow_call_us=1 << 40, min_calls=4, num_probes=1)
        self.breaker = CircuitBreaker(options)
        present = None if connect else self.index
        late = connect or (lambda _: self.index)
        self.guard = GuardedIndex(late, self.breaker, self.clock, 50_000, present)

    def best(self, budget_us: int = 0) -> int:
        found = self.guard.search(VECTORS[3:4], 1, budget_us=budget_us)
        return int(found.ids[0, 0])

    def in_vain(self, budget_us: int, took_us: int, times: int) -> None:
        """Searches that no shard answers within the time they took."""
        self.index.error, self.index.takes_us = UnavailableError("none"), took_us
        for _ in range(times):
            with pytest.raises(UnavailableError):
                self.best(budget_us)
        self.index.error, self.index.takes_us = None, 0

    def state(self) -> BreakerState:
        return self.breaker.state(self.clock.monotonic_us())


def test_an_index_that_is_gone_is_not_asked_until_it_is_probed_and_back() -> None:
    guarded = _Guarded()
    guarded.index.error = UnavailableError("no shard answered")
    for _ in range(10):
        with pytest.raises(UnavailableError):
            guarded.best()
    assert guarded.index.num_searches == 4
    assert guarded.state() is BreakerState.OPEN
    guarded.index.error = None
    guarded.clock.advance_us(1_000_000)
    assert guarded.best() == 3
    assert guarded.state() is BreakerState.CLOSED


def test_searches_that_were_late_by_themselves_do_not_stop_the_others() -> None:
    guarded = _Guarded()
    for _ in range(20):
        guarded.in_vain(budget_us=7_000, took_us=6_700, times=4)
        assert guarded.best(7_000) == 3
    assert guarded.state() is BreakerState.CLOSED


def test_late_searches_stop_where_nobody_is_answered() -> None:
    guarded = _Guarded()
    guarded.in_vain(budget_us=7_000, took_us=6_700, times=8)
    assert guarded.state() is BreakerState.CLOSED
    guarded.in_vain(budget_us=7_000, took_us=6_700, times=1)
    assert guarded.state() is BreakerState.OPEN


@pytest.mark.parametrize(
    ("budget_us", "took_us"), [(7_000, 3_000), (25_000, 24_000), (0, 50_000)]
)
def test_who_is_refused_or_had_half_of_the_hop_tells_of_the_index(
    budget_us: int, took_us: int
) -> None:
    guarded = _Guarded()
    guarded.in_vain(budget_us, took_us, times=4)
    assert guarded.state() is BreakerState.OPEN


def test_a_callers_mistake_says_nothing_of_the_index() -> None:
    guarded = _Guarded()
    guarded.index.error = InvalidArgumentError("k is 0", "k")
    for _ in range(10):
        with pytest.raises(InvalidArgumentError):
            guarded.best()
    assert guarded.state() is BreakerState.CLOSED


def test_an_index_that_was_not_there_at_the_start_is_found_later() -> None:
    there: list[_Index] = []

    def connect(timeout_s: float) -> _Index:
        if not there:
            raise UnavailableError("no retrieval shard answers")
        return there[0]

    guarded = _Guarded(connect)
    with pytest.raises(UnavailableError):
        guarded.best()
    there.append(guarded.index)
    assert guarded.best() == 3
    there.clear()
    assert guarded.best() == 3  # connected once is connected


def test_writes_and_stats_pass_the_breaker() -> None:
    guarded = _Guarded()
    guarded.guard.upsert(VECTORS[:1], np.array([40]))
    assert guarded.guard.delete(np.array([0, 99])) == (1, 1)
    assert guarded.guard.stats().num_items == 8


def test_a_release_loads_without_a_shard_that_answers() -> None:
    remote = RemoteIndex([Shard(("127.0.0.1:1",))], FakeClock(), Metrics())
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        remote.open(bytes(32)).search(VECTORS[:1], 1)
    remote.close()
