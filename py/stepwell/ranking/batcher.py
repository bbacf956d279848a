"""Scores the requests of several threads in one call of the model."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stepwell.base.clock import Clock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import check_range
from stepwell.base.metric_names import RANKING_BATCHES
from stepwell.base.metrics import Metrics
from stepwell.pipeline.query import FeatureBatch, Scores

MAX_BATCH_SIZE = 64

Wait = Callable[[threading.Condition, float], object]
"""Waits on a condition that is held, for at most so many seconds."""


class BatchScorer(Protocol):
    """A scorer that can take several requests at once. Concurrency: thread-safe."""

    def score(
        self, features: FeatureBatch, deadline: Deadline | None = None
    ) -> Scores: ...

    def score_all(self, batches: Sequence[FeatureBatch]) -> list[Scores]:
        """Returns the scores of each request, in order."""
        ...


@dataclass(frozen=True, slots=True)
class BatchingOptions:
    """When requests are scored together; names as in Triton's dynamic batcher.

    Attributes:
        preferred_batch_size: requests of a full batch, at most MAX_BATCH_SIZE; 1 is no
            batching.
        max_queue_delay_microseconds: how long the first request of a batch may wait for
            others; 0 is no batching.
        max_queue_size: requests that wait or are being scored in batches at once; one
            more is scored by itself.
    """

    preferred_batch_size: int = 1
    max_queue_delay_microseconds: int = 0
    max_queue_size: int = 64

    def __post_init__(self) -> None:
        check_range(
            "preferred_batch_size", self.preferred_batch_size, 1, MAX_BATCH_SIZE
        )
        delay_us = self.max_queue_delay_microseconds
        check_range("max_queue_delay_microseconds", delay_us, 0, 1_000_000)
        check_range("max_queue_size", self.max_queue_size, 1, 65_536)

    @property
    def batches(self) -> bool:
        """Whether any request ever waits for another."""
        return self.preferred_batch_size > 1 and self.max_queue_delay_microseconds > 0


@dataclass(slots=True, eq=False)
class _Batch:
    """Requests that are to be scored together."""

    close_us: int
    requests: list[FeatureBatch] = field(default_factory=list)
    scores: list[Scores] | None = None  # None after an error as well
    done: threading.Event = field(default_factory=threading.Event)


class BatchingScorer:
    """Lets threads that score at the same time share one call.

    The first thread to come leads: it waits for others until the batch is full or the
    first of its members must not wait any longer, then scores for all of them. There is
    no thread of its own. A request waits at most max_queue_delay_microseconds, and
    never so long that the deadline of its stage would be missed by a scoring as long as
    the longest lately. When the call for a batch fails, every thread scores its own
    request: a bad one spoils no other, and each caller sees its own error.

    Args:
        scorer: does the work.
        options: when to wait.
        clock: monotonic time.
        metrics: counts batches by their size.
        wait: Condition.wait; a test's own moves its clock.

    Concurrency: thread-safe.
    """

    def __init__(
        self,
        scorer: BatchScorer,
        options: BatchingOptions,
        clock: Clock,
        metrics: Metrics,
        wait: Wait = threading.Condition.wait,
    ) -> None:
        self._scorer, self._options = scorer, options
        self._clock, self._metrics, self._wait = clock, metrics, wait
        self._changed = threading.Condition()
        self._open: _Batch | None = None
        self._num_inside = 0
        self._lately_us = 0

    def score(self, features: FeatureBatch, deadline: Deadline | None = None) -> Scores:
        """Returns the scores of the request's candidates, in their order.

        Raises: what the scorer raises for this request.
        """
        now_us = self._clock.monotonic_us()
        close_us = self._close_us(now_us, deadline)
        place = self._join(features, close_us) if close_us > now_us else None
        if place is None:
            return self._alone(features, deadline)
        batch, number = place
        try:
            if number == 0:
                self._lead(batch)
            else:
                batch.done.wait()
        finally:
            with self._changed:
                self._num_inside -= 1
        if batch.scores is None:
            return self._scorer.score(features, deadline)
        return batch.scores[number]

    def _close_us(self, now_us: int, deadline: Deadline | None) -> int:
        """When this request must not wait any longer."""
        close_us = now_us + self._options.max_queue_delay_microseconds
        if deadline is None:
            return close_us
        return min(close_us, deadline.at_us - self._lately_us)

    def _alone(self, features: FeatureBatch, deadline: Deadline | None) -> Scores:
        self._metrics.add(RANKING_BATCHES, "1")
        return self._scorer.score(features, deadline)

    def _join(self, features: FeatureBatch, close_us: int) -> tuple[_Batch, int] | None:
        """Returns the batch and the request's number in it; None when all is full."""
        with self._changed:
            if self._num_inside >= self._options.max_queue_size:
                return None
            self._num_inside += 1
            batch = self._open
            if batch is None:
                batch = self._open = _Batch(close_us)
            batch.requests.append(features)
            batch.close_us = min(batch.close_us, close_us)
            if len(batch.requests) >= self._options.preferred_batch_size:
                self._open = None
            self._changed.notify_all()
            return batch, len(batch.requests) - 1

    def _lead(self, batch: _Batch) -> None:
        try:
            self._collect(batch)
            started_us = self._clock.monotonic_us()
            batch.scores = self._scored(batch.requests)
            self._note(self._clock.monotonic_us() - started_us)
        finally:
            batch.done.set()

    def _collect(self, batch: _Batch) -> None:
        """Waits for others, then closes the batch."""
        with self._changed:
            while self._open is batch:
                left_us = batch.close_us - self._clock.monotonic_us()
                if left_us <= 0:
                    self._open = None
                else:
                    self._wait(self._changed, left_us / 1e6)

    def _scored(self, requests: Sequence[FeatureBatch]) -> list[Scores] | None:
        self._metrics.add(RANKING_BATCHES, str(len(requests)))
        try:
            return self._scorer.score_all(requests)
        except Exception:  # noqa: BLE001 - each caller meets its own error, see above
            return None

    def _note(self, took_us: int) -> None:
        # Falls slowly: too much caution costs a smaller batch, too little a deadline.
        self._lately_us = max(took_us, self._lately_us * 7 // 8)
