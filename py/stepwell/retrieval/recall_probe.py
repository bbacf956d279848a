"""The recall of live searches, measured beside them on a small share."""

import os
import queue
import random
import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import StepwellError
from stepwell.base.metric_names import RECALL_AT_K, RECALL_PROBES
from stepwell.base.metrics import Metrics
from stepwell.index.ann_index import AnnIndex, Ids, Vectors
from stepwell.index.item_filter import IdSet

Outcome = Literal["answered", "empty", "late", "dropped", "failed"]
Allowed = npt.NDArray[np.bool_] | IdSet

_LOWEST_PRIORITY = 19


@dataclass(frozen=True, slots=True)
class RecallProbeOptions:
    """How much is measured.

    Attributes:
        share: part of the queries that are measured, 0 <= share <= 1.
        max_waiting: queries that may wait for their exact answer; more are dropped.
        num_averaged: latest measurements that the gauge is the mean of.
        budget_us: longest exact search in microseconds.
        idle_seconds: the thread ends when so long nothing was to do; the next query
            starts it again.
        seed: of the draw.
    """

    share: float = 0.001
    max_waiting: int = 32
    num_averaged: int = 200
    budget_us: int = 10_000_000
    idle_seconds: float = 10.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class _Sample:
    query: Vectors
    k: int
    ids: Ids
    exclude_ids: Ids | None
    allowed: Allowed | None


class RecallProbe:
    """Answers a sampled share of queries again, exactly, and compares.

    The gauge is the mean over the latest queries of: found items that are among the k
    truly best, divided by how many those are. What is excluded or not allowed is so in
    both answers. Items that are written between the two answers count as errors, so
    that a gauge slightly below 1 is not a fault of the graph while items change. An
    index without kept vectors is exact by its codes.

    Args:
        index: what answered; searched with `exact`.
        metrics: gets the gauge, and a count by outcome: "answered", "empty" (nothing
            was to be found), "late" (the exact search took longer than its budget),
            "dropped" (too many waited) or "failed".
        options: how much is measured.

    Concurrency: `observe` from any thread; it never waits for a search. One thread of
    the lowest priority searches; it keeps no process alive.
    Cost: `observe` about 0.1 us, for a sampled query a copy of its vector and ids; an
    exact search compares every item.
    """

    def __init__(
        self,
        index: AnnIndex,
        metrics: Metrics,
        options: RecallProbeOptions | None = None,
    ) -> None:
        self._index = index
        self._metrics = metrics
        self._options = options or RecallProbeOptions()
        if not 0.0 <= self._options.share <= 1.0:
            raise ValueError(f"share is {self._options.share}, must be in [0, 1]")
        self._draw = random.Random(self._options.seed).random
        self._waiting: queue.Queue[_Sample] = queue.Queue(self._options.max_waiting)
        self._recalls: deque[float] = deque(maxlen=self._options.num_averaged)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def observe(
        self,
        query: Vectors,
        k: int,
        ids: Ids,
        *,
        exclude_ids: Ids | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        """Takes note of one answered query; measures a sampled share of them.

        Args:
            query: float32 [D].
            k: neighbours asked for.
            ids: int64 [K], the answer; padding of -1 is ignored.
            exclude_ids, allowed: as the search had them; an array of flags must not
                be changed afterwards.
        """
        if self._draw() >= self._options.share:
            return
        excluded = None if exclude_ids is None else np.array(exclude_ids)
        sample = _Sample(np.array(query), k, np.array(ids), excluded, allowed)
        try:
            self._waiting.put_nowait(sample)
        except queue.Full:
            self._count("dropped")
            return
        self._ensure_thread()

    def wait(self) -> None:
        """Returns once every query taken so far is measured."""
        self._waiting.join()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="recall-probe", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        try:
            # On Linux this is the priority of the calling thread alone.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
            while sample := self._next():
                try:
                    self._count(self._measure(sample))
                finally:
                    self._waiting.task_done()
        finally:
            self._leave()

    def _next(self) -> _Sample | None:
        try:
            return self._waiting.get(timeout=self._options.idle_seconds)
        except queue.Empty:
            return None

    def _leave(self) -> None:
        """Ends this thread; another takes over where a query came meanwhile."""
        with self._lock:
            self._thread = None
        if not self._waiting.empty():
            self._ensure_thread()

    def _measure(self, sample: _Sample) -> Outcome:
        try:
            exact = self._index.search(
                sample.query[None, :],
                sample.k,
                exclude_ids=sample.exclude_ids,
                allowed=sample.allowed,
                budget_us=self._options.budget_us,
                exact=True,
            )
        except StepwellError:
            return "failed"
        if exact.truncated[0]:
            return "late"
        best = exact.ids[0, : exact.counts[0]]
        if not len(best):
            return "empty"
        self._recalls.append(float(np.isin(best, sample.ids).mean()))
        self._metrics.set(RECALL_AT_K, sum(self._recalls) / len(self._recalls))
        return "answered"

    def _count(self, outcome: Outcome) -> None:
        self._metrics.add(RECALL_PROBES, outcome)
