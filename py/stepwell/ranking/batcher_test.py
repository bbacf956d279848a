"""Requests of several threads in one call: who waits for whom, and for how long."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metric_names import RANKING_BATCHES
from stepwell.base.metrics import Metrics
from stepwell.pipeline.query import FeatureBatch, Scores
from stepwell.ranking.batcher import BatchingOptions, BatchingScorer

SECOND_US = 1_000_000
HANGS_S = 30.0


def _request(number: int, size: int = 2) -> FeatureBatch:
    dense = np.full((size, 1), number, np.float32)
    return FeatureBatch(dense, np.zeros((size, 0), np.int64))


class _Scorer:
    """The score is the input; a request of 13 is bad."""

    def __init__(self, clock: FakeClock, cost_us: int = 0) -> None:
        self.clock, self.cost_us = clock, cost_us
        self.calls: list[int] = []
        self.gate: threading.Event | None = None
        self.entered = threading.Semaphore(0)

    def score(self, features: FeatureBatch, deadline: Deadline | None = None) -> Scores:
        del deadline
        return self.score_all([features])[0]

    def score_all(self, batches: Sequence[FeatureBatch]) -> list[Scores]:
        self.calls.append(len(batches))
        self.entered.release()
        if self.gate is not None:
            assert self.gate.wait(HANGS_S)
        self.clock.advance_us(self.cost_us)
        if any((batch.dense == 13).any() for batch in batches):
            raise InvalidArgumentError("13", "dense")
        return [Scores(batch.dense[:, 0], batch.dense) for batch in batches]


class _Rig:
    """A batcher whose waits take no time: they move the clock."""

    def __init__(self, options: BatchingOptions, cost_us: int = 0) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.scorer = _Scorer(self.clock, cost_us)
        self.waits_us: list[int] = []
        # Whether something woke the waiting thread before any time had passed.
        self.woken: Callable[[threading.Condition], bool] = lambda _: False
        self.batcher = BatchingScorer(
            self.scorer, options, self.clock, self.metrics, self._wait
        )

    def _wait(self, held: threading.Condition, seconds: float) -> None:
        self.waits_us.append(round(seconds * 1e6))
        if not self.woken(held):
            self.clock.advance_us(self.waits_us[-1])

    def num_batches(self, size: int) -> float:
        return self.metrics.value(RANKING_BATCHES, str(size))


def _threaded(options: BatchingOptions) -> _Rig:
    """A rig that really waits."""
    rig = _Rig(options)
    rig.batcher = BatchingScorer(rig.scorer, options, rig.clock, rig.metrics)
    return rig


def _values(scores: Scores) -> list[float]:
    values: list[float] = scores.total.tolist()
    return values


def test_a_full_batch_is_scored_in_one_call_and_each_gets_its_own() -> None:
    # The fake clock stands still: only a full batch lets these threads go.
    rig = _threaded(BatchingOptions(4, SECOND_US))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: rig.batcher.score(_request(n, n)), range(8)))
    assert [_values(scores) for scores in found] == [[n] * n for n in range(8)]
    assert rig.scorer.calls == [4, 4]
    assert rig.num_batches(4) == 2


def test_the_first_waits_no_longer_than_the_delay() -> None:
    rig = _Rig(BatchingOptions(4, 500))
    assert _values(rig.batcher.score(_request(5))) == [5, 5]
    assert rig.waits_us == [500]
    assert rig.num_batches(1) == 1


def test_nobody_waits_without_a_delay_or_for_a_batch_of_one() -> None:
    assert not BatchingOptions(8, 0).batches
    assert not BatchingOptions(1, 500).batches
    rig = _Rig(BatchingOptions(8, 0))
    rig.batcher.score(_request(1))
    assert rig.waits_us == []


def test_waits_no_longer_than_the_deadline_leaves_for_scoring() -> None:
    rig = _Rig(BatchingOptions(4, 500), cost_us=300)
    rig.batcher.score(_request(1))
    rig.waits_us.clear()
    rig.batcher.score(_request(1), Deadline.after_us(rig.clock, 420))
    assert rig.waits_us == [120]
    rig.waits_us.clear()
    rig.batcher.score(_request(1), Deadline.after_us(rig.clock, 200))
    assert rig.waits_us == []


def test_one_in_a_hurry_hurries_the_batch() -> None:
    rig = _Rig(BatchingOptions(4, 500))
    hurried: list[Future[Scores]] = []
    with ThreadPoolExecutor(1) as pool:

        def joined(held: threading.Condition) -> bool:
            if hurried:
                return False
            deadline = Deadline.after_us(rig.clock, 50)
            hurried.append(pool.submit(rig.batcher.score, _request(2), deadline))
            return held.wait(HANGS_S)

        rig.woken = joined
        assert _values(rig.batcher.score(_request(1))) == [1, 1]
        assert _values(hurried[0].result(HANGS_S)) == [2, 2]
    assert rig.scorer.calls == [2]
    assert rig.waits_us == [500, 50]


def test_a_bad_request_spoils_no_other() -> None:
    rig = _threaded(BatchingOptions(3, SECOND_US))
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(rig.batcher.score, _request(n)) for n in (1, 13, 2)]
        assert _values(found[0].result(HANGS_S)) == [1, 1]
        assert _values(found[2].result(HANGS_S)) == [2, 2]
        with pytest.raises(InvalidArgumentError, match="13"):
            found[1].result(HANGS_S)


def test_more_than_the_queue_takes_are_scored_alone() -> None:
    rig = _threaded(BatchingOptions(2, SECOND_US, max_queue_size=2))
    rig.scorer.gate = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        pair = [pool.submit(rig.batcher.score, _request(n)) for n in (1, 2)]
        assert rig.scorer.entered.acquire(timeout=HANGS_S)
        third = pool.submit(rig.batcher.score, _request(3))
        assert rig.scorer.entered.acquire(timeout=HANGS_S)
        assert rig.scorer.calls == [2, 1]
        rig.scorer.gate.set()
        assert _values(third.result(HANGS_S)) == [3, 3]
        assert [_values(f.result(HANGS_S)) for f in pair] == [[1, 1], [2, 2]]
    assert rig.num_batches(1) == 1


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((0, 0, 1), "preferred_batch_size"),
        ((65, 0, 1), "preferred_batch_size"),
        ((1, -1, 1), "max_queue_delay_microseconds"),
        ((1, 0, 0), "max_queue_size"),
    ],
)
def test_refuses_options_out_of_range(options: tuple[int, int, int], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        BatchingOptions(*options)
