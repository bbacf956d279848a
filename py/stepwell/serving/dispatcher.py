"""Between the event loop and the workers: admission, queue, tier, answer."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from stepwell.base.clock import Clock
from stepwell.base.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    ResourceExhaustedError,
    StepwellError,
)
from stepwell.base.metric_names import (
    DEGRADATION_REASONS,
    IN_FLIGHT,
    QUEUE_SECONDS,
    REFUSALS,
)
from stepwell.base.metrics import Metrics
from stepwell.degradation.admission_queue import AdmissionQueue, Ticket
from stepwell.degradation.controller import LadderController
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierDecision
from stepwell.serving.call import Call

R = TypeVar("R")
_log = structlog.get_logger(__name__)

_CALLERS_OWN = frozenset({"INVALID_ARGUMENT", "CANCELLED"})
"""Errors that say nothing of how the service does."""

_ANY_ANSWER_US = 300
"""A deadline that leaves less is the caller's own: POPULAR takes about so long."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[R]):
    """A response, and the tier it names."""

    response: R
    tier: Tier


Answer = Callable[[Call, TierDecision, int], Answered[R]]
"""Makes a response: (call, decision, microseconds in the queue)."""


@dataclass(slots=True, eq=False)
class WaitingCall(Generic[R]):
    """A call in the queue and whom to tell."""

    call: Call
    done: "asyncio.Future[Answered[R]]"


class Dispatcher(Generic[R]):
    """Admits calls on the event loop and answers them on worker threads.

    A call that is pinned to POPULAR, or that could be nothing better by its turn, is
    answered at once on the event loop: POPULAR touches memory only and costs less than
    the way to a worker. One that finds no place in the queue is refused.

    Args:
        ladder: decides; learns from the outcomes.
        queue: bounded; the dispatcher is its only taker.
        answer: makes the response; called from the workers and from the event loop.
        clock: monotonic time.
        metrics: reasons of refusals, waiting times, calls in flight.

    Concurrency: `submit` on one event loop; everything else from any thread.
    """

    def __init__(
        self,
        ladder: LadderController,
        queue: AdmissionQueue[WaitingCall[R]],
        answer: Answer[R],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._ladder = ladder
        self._queue = queue
        self._answer = answer
        self._clock = clock
        self._metrics = metrics
        self._queue_seconds = metrics.histogram(QUEUE_SECONDS)
        self._in_flight = metrics.gauge(IN_FLIGHT)
        self._workers: list[threading.Thread] = []
        # On their way from the workers to the event loop, which is woken up once for
        # as many as there are.
        self._outcomes: deque[tuple[WaitingCall[R], Answered[R] | Exception]] = deque()
        self._loop_is_told = False

    def start(
        self, num_workers: int, prepare: Callable[[], None] | None = None
    ) -> None:
        """Starts the workers and returns when each is ready to take its first request.

        Until then calls wait in the queue; without a release they are answered anyway.

        Args:
            num_workers: each runs one request at a time.
            prepare: run once on every worker: what a thread pays at its first request
                is then paid before any caller waits for it.
        """
        ready = threading.Barrier(num_workers + 1)
        for number in range(num_workers):
            worker = threading.Thread(
                target=self._work,
                args=(prepare, ready),
                name=f"worker-{number}",
                daemon=True,
            )
            self._workers.append(worker)
            worker.start()
        ready.wait()

    def close(self) -> None:
        """Takes nothing more in, finishes what waits, and joins the workers."""
        self._queue.close()
        for worker in self._workers:
            worker.join()

    async def submit(self, call: Call) -> R:
        """Returns the response to a call.

        Raises:
            ResourceExhaustedError: behind those ahead not even POPULAR would make the
                deadline, or the queue is full.
            DeadlineExceededError: the deadline passed while it waited, or is too short
                for POPULAR with nobody ahead.
            FailedPreconditionError: no release is live.
        """
        if not self._ladder.has_release:
            raise self._refusal(self._ladder.decide(call.arrival, 0))
        num_ahead = self._queue.num_ahead(call.priority)
        at_once = self._decided_at_once(call, num_ahead)
        if at_once is not None:
            if call.arrival.deadline_us - self._clock.monotonic_us() < _ANY_ANSWER_US:
                raise self._not_admitted(call, 0)
            # However late: it costs hardly more than to refuse it.
            return self._serve(call, at_once).response
        if not self._ladder.admits(call.arrival, num_ahead):
            raise self._not_admitted(call, num_ahead)
        return (await self._queued(call)).response

    def _decided_at_once(self, call: Call, num_ahead: int) -> TierDecision | None:
        """Returns the decision on a call that need not wait for a worker."""
        if self._ladder.forced_tier(call.arrival) is Tier.POPULAR:
            return self._ladder.decide(call.arrival, 0)
        return self._ladder.decide_early(call.arrival, num_ahead)

    async def _queued(self, call: Call) -> Answered[R]:
        """Waits for a worker's answer."""
        waiting: WaitingCall[R] = WaitingCall(
            call, asyncio.get_running_loop().create_future()
        )
        ticket = Ticket(
            waiting,
            call.arrival.arrived_us,
            call.arrival.deadline_us,
            call.priority,
            call.arrival.user_draw,
        )
        self._in_flight.add(1)
        displaced = self._queue.offer(ticket)
        if displaced is not None and not displaced.abandoned:
            self._in_flight.add(-1)
            _tell(displaced.payload, self._overloaded(displaced.payload.call))
        try:
            return await waiting.done
        except asyncio.CancelledError:
            call.caller.gone = True
            if self._queue.abandon(ticket):
                self._in_flight.add(-1)
            raise

    def _work(
        self, prepare: Callable[[], None] | None, ready: threading.Barrier
    ) -> None:
        try:
            if prepare is not None:
                prepare()
        except Exception as error:  # noqa: BLE001 - a cold worker is still a worker
            _log.warning("a worker starts cold", error=str(error))
        ready.wait()
        while (ticket := self._queue.take()) is not None:
            waiting = ticket.payload
            try:
                outcome: Answered[R] | Exception = self._decide_and_serve(waiting.call)
            except Exception as error:  # noqa: BLE001 - travels to the caller's await
                outcome = error
            self._outcomes.append((waiting, outcome))
            if not self._loop_is_told:
                self._loop_is_told = True
                waiting.done.get_loop().call_soon_threadsafe(self._tell_outcomes)

    def _tell_outcomes(self) -> None:
        # First, so that an outcome which comes from here on tells the loop again.
        self._loop_is_told = False
        while self._outcomes:
            waiting, outcome = self._outcomes.popleft()
            self._in_flight.add(-1)
            _tell(waiting, outcome)

    def _decide_and_serve(self, call: Call) -> Answered[R]:
        # Calls of a lower priority wait for this one, it does not hurry for them.
        num_waiting = self._queue.num_ahead(call.priority)
        return self._serve(call, self._ladder.decide(call.arrival, num_waiting))

    def _serve(self, call: Call, decision: TierDecision) -> Answered[R]:
        if decision.tier is None:
            raise self._refusal(decision)
        started_us = self._clock.monotonic_us()
        queue_us = started_us - call.arrival.arrived_us
        self._queue_seconds.observe(queue_us / 1e6)
        try:
            answered = self._answer(call, decision, queue_us)
        except Exception as error:
            self._record_error(call, decision.tier, started_us, error)
            raise
        service_us = self._clock.monotonic_us() - started_us
        self._ladder.record(decision.tier, service_us, call.arrival, answered.tier)
        return answered

    def _record_error(
        self, call: Call, tier: Tier, started_us: int, error: Exception
    ) -> None:
        """An error of ours counts as the worst latency, a caller's as nothing."""
        if isinstance(error, StepwellError) and error.code in _CALLERS_OWN:
            return
        service_us = self._clock.monotonic_us() - started_us
        self._ladder.record_failure(tier, service_us, call.arrival)

    def _not_admitted(self, call: Call, num_ahead: int) -> StepwellError:
        left_us = call.arrival.deadline_us - self._clock.monotonic_us()
        if num_ahead or left_us >= _ANY_ANSWER_US:
            return self._overloaded(call)
        # Nobody is to blame and coming back later would not help.
        self._metrics.add(REFUSALS, "expired")
        return DeadlineExceededError(
            f"{max(left_us, 0)} us are left of the deadline: too little for any answer"
        )

    def _overloaded(self, call: Call) -> StepwellError:
        num_ahead = self._queue.num_ahead(call.priority)
        waited_us = self._clock.monotonic_us() - call.arrival.arrived_us
        self._metrics.add(REFUSALS, "overload")
        # What it waited for before we saw it is ahead of its next attempt as well.
        after_ms = max(self._ladder.retry_after_ms(num_ahead), waited_us // 1_000)
        return ResourceExhaustedError(
            f"overloaded: {num_ahead} requests are ahead", after_ms
        )

    def _refusal(self, decision: TierDecision) -> StepwellError:
        if Reason.NO_RELEASE in decision.reasons:
            self._metrics.add(DEGRADATION_REASONS, Reason.NO_RELEASE.label)
            self._metrics.add(REFUSALS, "no_release")
            return FailedPreconditionError("no release is live")
        self._metrics.add(REFUSALS, "expired")
        return DeadlineExceededError("the deadline passed before work on it began")


def _tell(waiting: WaitingCall[R], outcome: Answered[R] | Exception) -> None:
    """Ends a caller's wait, on the event loop; one who has gone is not told."""
    if waiting.done.done():
        return
    if isinstance(outcome, Exception):
        waiting.done.set_exception(outcome)
    else:
        waiting.done.set_result(outcome)
