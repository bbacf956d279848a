"""A candidate in shadow: it ranks what live has answered, and nobody is shown it."""

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from stepwell.base.clock import Clock
from stepwell.base.deadline import Deadline
from stepwell.base.metric_names import (
    SHADOW_OVERLAP,
    SHADOW_RANK_CORRELATION,
    SHADOW_REQUESTS,
    SHADOW_SCORE_GAP,
    SHADOW_SECONDS,
)
from stepwell.base.metrics import Metrics
from stepwell.base.thread_rank import step_back
from stepwell.pipeline.query import Query
from stepwell.releases.handle import ReleaseHandle
from stepwell.serving.call import Call
from stepwell.serving.engine import Engine
from stepwell.serving.shadow_log import RankedBy, ShadowLine
from stepwell.serving.slate_difference import difference_of

_log = structlog.get_logger(__name__)

MAX_WAITING = 64
"""Requests that wait for a moment without calls; more are dropped and counted."""

MAX_AGE_US = 2_000_000
"""A request that has waited for longer is dropped: users' state has gone on."""

_REST_FACTOR = 3.0
"""The thread rests so many times as long as a request took."""
_LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class ShadowRequest:
    """A request that live has answered, free of live's rows.

    Attributes:
        serial: of the candidate.
        call, query: the request; the rows in the query are live's.
        live: what was shown; the candidate is asked for the same tier.
        offered_us: monotonic time.
    """

    serial: int
    call: Call
    query: Query
    live: RankedBy
    offered_us: int


@dataclass(frozen=True, slots=True)
class ShadowParts:
    """What shadow runs stand on.

    Attributes:
        borrow: lends a release by its serial; None when it is not held any more.
        is_idle: no call waits and no worker has one in hand.
        record: takes a line of what was compared.
    """

    borrow: Callable[[int], ReleaseHandle[Engine] | None]
    is_idle: Callable[[], bool]
    record: Callable[[ShadowLine], None]


class ShadowRuns:
    """Runs live's requests on the candidate when there is nothing else to do.

    Concurrency: `offer` from any thread, never waits. One thread works, behind those of
    the callers and at most a quarter of the time.
    Cost: `offer` about 6 us for 10 items.
    """

    def __init__(self, parts: ShadowParts, clock: Clock, metrics: Metrics) -> None:
        self._parts = parts
        self._clock = clock
        self._metrics = metrics
        self._queue: queue.Queue[ShadowRequest | None] = queue.Queue(MAX_WAITING)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread; it sleeps until it is offered something."""
        self._thread = threading.Thread(target=self._work, name="shadow")
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        """Drops what waits, and ends the thread."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        if self._thread is not None:
            self._thread.join()

    def offer(self, serial: int, call: Call, query: Query, live: RankedBy) -> None:
        """Takes a request that live has answered; drops it when many wait."""
        now_us = self._clock.monotonic_us()
        try:
            self._queue.put_nowait(ShadowRequest(serial, call, query, live, now_us))
        except queue.Full:
            self._metrics.add(SHADOW_REQUESTS, "dropped")

    def run_one(self, asked: ShadowRequest) -> None:
        """Ranks one request on the candidate and records how it differs."""
        if self._clock.monotonic_us() - asked.offered_us > MAX_AGE_US:
            self._metrics.add(SHADOW_REQUESTS, "dropped")
            return
        handle = self._parts.borrow(asked.serial)
        if handle is None:
            self._metrics.add(SHADOW_REQUESTS, "dropped")
            return
        with handle as release:
            engine = release.content
            slate = engine.recommend(self._query(asked, engine), asked.live.tier)
            self._compare(asked, RankedBy.of(engine, slate))

    def _query(self, asked: ShadowRequest, engine: Engine) -> Query:
        """The same request in the candidate's rows, with as much time as live had."""
        call, query = asked.call, asked.query
        given = None
        if call.given_item_ids is not None:
            given, _ = engine.known_rows(call.given_item_ids)
        excluded, _ = engine.known_rows(call.excluded_item_ids)
        budget_us = query.deadline.at_us - call.arrival.arrived_us
        return replace(
            query,
            deadline=Deadline.after_us(self._clock, budget_us),
            excluded_rows=excluded,
            given_rows=given,
            is_cancelled=self._closing.is_set,
            is_replayable=False,
        )

    def _compare(self, asked: ShadowRequest, shadow: RankedBy) -> None:
        live, metrics = asked.live, self._metrics
        found = difference_of(live.items, shadow.items)
        metrics.add(SHADOW_REQUESTS, "compared")
        metrics.observe(SHADOW_OVERLAP, found.overlap)
        for spec, value in (
            (SHADOW_RANK_CORRELATION, found.rank_correlation),
            (SHADOW_SCORE_GAP, found.score_gap),
        ):
            if math.isfinite(value):
                metrics.observe(spec, value)
        for name, one in (("live", live), ("shadow", shadow)):
            metrics.observe(SHADOW_SECONDS, one.service_us / 1e6, name)
        self._parts.record(ShadowLine(asked.query, live, shadow, found))

    def _work(self) -> None:
        step_back()
        while not self._closing.is_set():
            asked = self._queue.get()
            if asked is None:
                return
            self._wait_until_idle(asked)
            began = time.thread_time()
            try:
                self.run_one(asked)
            except Exception as error:  # noqa: BLE001 - a candidate may fail anyhow
                self._metrics.add(SHADOW_REQUESTS, "failed")
                _log.warning("the shadow failed", error=str(error))
            self._closing.wait(_REST_FACTOR * (time.thread_time() - began))

    def _wait_until_idle(self, asked: ShadowRequest) -> None:
        """Waits for a moment without calls, until the request is too old."""
        latest_us = asked.offered_us + MAX_AGE_US
        while not self._parts.is_idle() and self._clock.monotonic_us() <= latest_us:
            if self._closing.wait(_LOOK_SECONDS):
                return
