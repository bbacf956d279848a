"""An index of other processes in the place of the release's own, behind its breaker."""

from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt
import structlog

from stepwell.base.clock import Clock
from stepwell.base.errors import UnavailableError
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.guarded_calls import GuardedCalls
from stepwell.embeddings.shard_map import Shard
from stepwell.index.ann_index import AnnIndex, Ids, Vectors
from stepwell.index.item_filter import IdSet
from stepwell.index.search_result import IndexStats, SearchResult
from stepwell.retrieval.shard_pool import PoolOptions, ShardPool
from stepwell.retrieval.sharded_index import ShardedIndex

_log = structlog.get_logger(__name__)

_LOAD_TIMEOUT_S = 5.0
_LATE_TIMEOUT_S = 0.05
# Slowness is bounded by the hop and lowers the coverage: only an index of which nothing
# answers is gone, and then all of it is: few failures tell.
_BREAKER = BreakerOptions(slow_call_us=1 << 40, min_calls=5, window_us=4_000_000)

_ALL_OF_IT = 0.9
"""Of its time: a search that failed before was told so, later ones were late."""


class RemoteIndex:
    """The shards that every release of this process is searched in.

    Attributes:
        breaker: open while no shard answers; the ladder's "index".

    Concurrency: thread-safe.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        clock: Clock,
        metrics: Metrics,
        options: PoolOptions | None = None,
    ) -> None:
        self.breaker = CircuitBreaker(_BREAKER)
        self._pool = ShardPool(shards, options, clock)
        self._clock = clock
        self._metrics = metrics

    def open(self, space_hash: bytes) -> AnnIndex:
        """Returns the index for a release whose towers are in this embedding space.

        Shards that do not answer now are searched once they do.

        Raises:
            FailedPreconditionError: the servers of a shard are of another space, or
                servers contradict each other.
        """

        def connect(timeout_s: float) -> ShardedIndex:
            return ShardedIndex.connect(
                self._pool, space_hash, self._metrics, timeout_s
            )

        try:
            index = connect(_LOAD_TIMEOUT_S)
        except UnavailableError as error:
            _log.warning("the index is not there yet", error=str(error))
            index = None
        hop_us = self._pool.options.hop_us
        return GuardedIndex(connect, self.breaker, self._clock, hop_us, index)

    def close(self) -> None:
        """Closes every channel; searches in flight fail."""
        self._pool.close()


class GuardedIndex:
    """An AnnIndex whose searches stop while none of its shards answers.

    Args:
        connect: (seconds it may take) -> the index; called until it gives one.
        breaker: opens when searches fail.
        clock: monotonic time.
        hop_us: microseconds that a search may take where its request leaves them; with
            less than half of that it may be late by itself.
        index: what `connect` gave already.

    Concurrency: as the index's.
    """

    def __init__(
        self,
        connect: Callable[[float], AnnIndex],
        breaker: CircuitBreaker,
        clock: Clock,
        hop_us: int,
        index: AnnIndex | None = None,
    ) -> None:
        self._connect = connect
        self._searches = GuardedCalls("index", breaker, clock)
        self._index = index
        self._hop_us = hop_us

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        ef_search: int = 64,
        exclude_ids: Ids | None = None,
        allowed: npt.NDArray[np.bool_] | IdSet | None = None,
        budget_us: int = 0,
        exact: bool = False,
    ) -> SearchResult:
        """As the index's; UnavailableError at once while the breaker is open."""
        return self._searches.call(
            lambda: self._held().search(
                queries,
                k,
                ef_search=ef_search,
                exclude_ids=exclude_ids,
                allowed=allowed,
                budget_us=budget_us,
                exact=exact,
            ),
            lambda took_us: self._was_short(budget_us, took_us),
        )

    def upsert(self, vectors: Vectors, ids: Ids) -> None:
        """As the index's; not guarded, for it is not on the request path."""
        self._held().upsert(vectors, ids)

    def delete(self, ids: Ids) -> tuple[int, int]:
        """As the index's."""
        return self._held().delete(ids)

    def save(self, path: str | PathLike[str]) -> None:
        """As the index's."""
        self._held().save(path)

    def stats(self) -> IndexStats:
        """As the index's."""
        return self._held().stats()

    def _was_short(self, budget_us: int, took_us: int) -> bool:
        """Whether a search was late, and had less time than the shards may take.

        One that failed before its time was up was told that no shard is there.
        """
        had_us = min(budget_us or self._hop_us, self._hop_us)
        return 2 * had_us < self._hop_us and took_us >= had_us * _ALL_OF_IT

    def _held(self) -> AnnIndex:
        if self._index is None:
            self._index = self._connect(_LATE_TIMEOUT_S)
        return self._index
