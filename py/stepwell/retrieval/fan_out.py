"""One question to every shard at once: retry, failover, hedge, and an end."""

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
import structlog

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.base.metric_names import SHARD_FAILURES, SHARD_HEDGES, SHARD_RETRIES
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import Permit
from stepwell.retrieval.shard_pool import Replica, ShardPool

_log = structlog.get_logger(__name__)

A = TypeVar("A")

_MAX_ATTEMPTS = 2
"""First attempt and one retry; a hedge comes on top."""


@dataclass(eq=False, slots=True)
class _Attempt:
    """One call to one server; `permit` waits for its outcome."""

    shard: int
    replica: Replica
    permit: Permit
    started_us: int
    is_hedge: bool
    call: Any = None


class FanOut(Generic[A]):
    """Asks every shard of a pool the same thing and takes what came in time.

    A server that is UNAVAILABLE, or whose answer is refused, is followed by another
    replica at once, or tried again after a pause where it is alone; one that is slower
    than most is joined by another replica, and the first answer counts. Both within
    their budgets. A server whose breaker is open is not asked.

    Args:
        pool: the servers.
        metrics: failures by cause, retries, hedges.
        start: begins a call: (stub, seconds it may take) -> a gRPC future.
        accept: makes an answer of (shard, response); DataLossError refuses it.

    Concurrency: one search, one thread.
    """

    def __init__(
        self,
        pool: ShardPool,
        metrics: Metrics,
        start: Callable[[Any, float], Any],
        accept: Callable[[int, Any], A],
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._start = start
        self._accept = accept
        self._end_us = 0
        self._answers: dict[int, A] = {}
        self._causes: dict[int, str] = {}
        self._open: dict[int, list[_Attempt]] = {n: [] for n in range(pool.num_shards)}
        self._tried: dict[int, list[str]] = {n: [] for n in range(pool.num_shards)}
        self._retry_at: dict[int, int] = {}
        self._hedge_at: dict[int, int] = {}
        self._done: queue.SimpleQueue[_Attempt] = queue.SimpleQueue()

    @property
    def causes(self) -> dict[int, str]:
        """Why the shards without an answer have none, after `run`."""
        return {n: why for n, why in self._causes.items() if n not in self._answers}

    def run(self, end_us: int) -> dict[int, A]:
        """Returns the answers that came before `end_us` of the pool's clock, by shard.

        Raises:
            InvalidArgumentError: a shard says that the question is wrong.
        """
        self._end_us = end_us
        try:
            for shard in self._open:
                self._ask_first(shard)
            while self._is_waiting() and self._now_us() < end_us:
                self._step()
        finally:
            self._give_up()
        return self._answers

    def _ask_first(self, shard: int) -> None:
        self._pool.options.retries.on_first_attempt()
        self._pool.options.hedges.on_first_attempt()
        if not self._attempt(shard):
            late = self._now_us() >= self._end_us
            self._fail(shard, "deadline_exceeded" if late else "breaker")
            return
        hedge_after_us = self._pool.hedge_after_us(self._now_us())
        if hedge_after_us is not None and len(self._pool.replicas(shard)) > 1:
            self._hedge_at[shard] = self._now_us() + hedge_after_us

    def _is_waiting(self) -> bool:
        return bool(self._retry_at) or any(self._open.values())

    def _step(self) -> None:
        """Waits for the next thing to happen, and does what follows from it."""
        timers = (*self._retry_at.values(), *self._hedge_at.values(), self._end_us)
        wait_us = max(min(timers) - self._now_us(), 0)
        try:
            self._settle(self._done.get(timeout=wait_us / 1e6))
        except queue.Empty:
            self._fire_timers()

    def _fire_timers(self) -> None:
        now_us = self._now_us()
        for shard in [n for n, at in self._retry_at.items() if at <= now_us]:
            del self._retry_at[shard]
            self._attempt(shard, again=True)
        for shard in [n for n, at in self._hedge_at.items() if at <= now_us]:
            del self._hedge_at[shard]
            if not self._has_untried(shard):
                continue
            if self._pool.options.hedges.try_spend():
                self._metrics.add(SHARD_HEDGES)
                self._attempt(shard, is_hedge=True)

    def _attempt(
        self, shard: int, *, again: bool = False, is_hedge: bool = False
    ) -> bool:
        """Calls the first server that may be; `again`: even one that was."""
        now_us = self._now_us()
        left_us = self._end_us - now_us
        if left_us <= 0:
            return False
        for replica in self._pool.replicas(shard):
            if replica.address in self._tried[shard] and not again:
                continue
            permit = replica.breaker.try_acquire(now_us)
            if permit is None:
                continue
            self._call(_Attempt(shard, replica, permit, now_us, is_hedge), left_us)
            return True
        return False

    def _call(self, attempt: _Attempt, left_us: int) -> None:
        self._tried[attempt.shard].append(attempt.replica.address)
        self._open[attempt.shard].append(attempt)
        attempt.call = self._start(attempt.replica.stub, left_us / 1e6)
        attempt.call.add_done_callback(lambda _: self._done.put(attempt))

    def _settle(self, attempt: _Attempt) -> None:
        """Takes the outcome of a call that is over."""
        if attempt not in self._open[attempt.shard]:
            return
        self._open[attempt.shard].remove(attempt)
        now_us = self._now_us()
        try:
            answer = self._accept(attempt.shard, attempt.call.result())
        except grpc.RpcError:
            self._on_error(attempt, attempt.call.code(), now_us)
        except DataLossError as error:
            _log.warning(
                "a shard's answer is refused",
                address=attempt.replica.address,
                error=str(error),
            )
            attempt.permit.drop(now_us)
            self._on_failure(attempt, "refused")
            self._retry(attempt.shard, pause=False)
        else:
            took_us = now_us - attempt.started_us
            attempt.permit.success(took_us, now_us)
            self._pool.record(took_us, now_us)
            if attempt.is_hedge:
                self._pool.overtaken_by(attempt.shard, attempt.replica)
            self._answers[attempt.shard] = answer
            self._forget(attempt.shard)

    def _on_error(self, attempt: _Attempt, code: grpc.StatusCode, now_us: int) -> None:
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            attempt.permit.ignore()
            raise InvalidArgumentError(attempt.call.details() or "", "queries")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._tell_late(attempt, now_us)
        else:
            attempt.permit.drop(now_us)
        self._on_failure(attempt, code.name.lower())
        if code is grpc.StatusCode.UNAVAILABLE:
            self._retry(attempt.shard, pause=True)

    def _on_failure(self, attempt: _Attempt, cause: str) -> None:
        self._pool.failed(attempt.shard, attempt.replica)
        self._fail(attempt.shard, cause)

    def _fail(self, shard: int, cause: str) -> None:
        self._causes[shard] = cause
        self._metrics.add(SHARD_FAILURES, cause)

    def _retry(self, shard: int, *, pause: bool) -> None:
        """Asks another replica now, or the only one after a pause."""
        options = self._pool.options
        if self._open[shard] or len(self._tried[shard]) >= _MAX_ATTEMPTS:
            return
        has_other = self._has_untried(shard)
        pause_us = int(options.backoff_us * (1 + options.draw()))
        fits = self._now_us() + pause_us < self._end_us
        if not (has_other or (pause and fits)) or not options.retries.try_spend():
            return
        self._metrics.add(SHARD_RETRIES)
        if has_other:
            self._attempt(shard)
        else:
            self._retry_at[shard] = self._now_us() + pause_us

    def _has_untried(self, shard: int) -> bool:
        now_us, tried = self._now_us(), self._tried[shard]
        return any(
            replica.address not in tried and replica.breaker.would_permit(now_us)
            for replica in self._pool.replicas(shard)
        )

    def _forget(self, shard: int) -> None:
        """The shard has answered: its other calls say nothing any more."""
        self._hedge_at.pop(shard, None)
        self._retry_at.pop(shard, None)
        for attempt in self._open[shard]:
            attempt.permit.ignore()
            attempt.call.cancel()
        self._open[shard] = []

    def _give_up(self) -> None:
        """What has not answered by the end is late; before it, it is not wanted."""
        now_us = self._now_us()
        for shard, attempts in self._open.items():
            if now_us < self._end_us:
                self._forget(shard)
                continue
            for attempt in attempts:
                self._tell_late(attempt, now_us)
                attempt.call.cancel()
                self._on_failure(attempt, "deadline_exceeded")
            self._open[shard] = []

    def _tell_late(self, attempt: _Attempt, now_us: int) -> None:
        """A server is to blame only when it had a good part of the hop."""
        if now_us - attempt.started_us >= self._pool.options.hop_us // 2:
            attempt.permit.drop(now_us)
        else:
            attempt.permit.ignore()

    def _now_us(self) -> int:
        return self._pool.clock.monotonic_us()
