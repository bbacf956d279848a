"""A call that leaves the queue: its tier is decided, it is answered, we learn."""

from collections.abc import Callable
from typing import Protocol

from stepwell.base.clock import Clock
from stepwell.base.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    StepwellError,
    is_callers_own,
)
from stepwell.base.metric_names import DEGRADATION_REASONS, QUEUE_SECONDS, REFUSALS
from stepwell.base.metrics import Metrics
from stepwell.degradation.controller import LadderController
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierDecision
from stepwell.serving.answering import Answered
from stepwell.serving.call import Call
from stepwell.serving.canary_trial import CanaryFailedError

Answer = Callable[[Call, TierDecision, int], Answered]
"""Makes a response: (call, decision, microseconds since arrival)."""


class Waiting(Protocol):
    """The queue, as a worker sees it that has just taken a call from it."""

    def num_ahead(self, priority: int, /) -> int:
        """Returns how many would be taken before a new call of this priority."""
        ...


class TieredAnswering:
    """Answers a call at the best tier that still fits it, on the caller's thread.

    Args:
        ladder: decides; learns from the outcomes.
        queue: that the calls come from.
        answer: makes the response.
        clock: monotonic time.
        metrics: calls without an answer, waiting times.

    Concurrency: called from every worker.
    Cost: about 15 us beside the answer itself.
    """

    def __init__(
        self,
        ladder: LadderController,
        queue: Waiting,
        answer: Answer,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._ladder = ladder
        self._queue = queue
        self._answer = answer
        self._clock = clock
        self._metrics = metrics
        self._queue_seconds = metrics.histogram(QUEUE_SECONDS)

    def respond(self, call: Call) -> bytes:
        """Returns the serialized response to a call that was taken just now.

        Raises:
            DeadlineExceededError: the deadline passed while it waited.
            FailedPreconditionError: no release is live.
            StepwellError: as the answer's.
        """
        arrival = call.arrival
        # Calls of a lower priority wait for this one, it does not hurry for them.
        num_waiting = self._queue.num_ahead(arrival.priority)
        decision = self._ladder.decide(arrival, num_waiting)
        if decision.tier is None:
            raise self._refusal(decision)
        started_us = self._clock.monotonic_us()
        queue_us = started_us - arrival.arrived_us
        self._queue_seconds.observe(queue_us / 1e6)
        try:
            answered = self._answer(call, decision, queue_us)
        except Exception as error:
            self._record_error(call, decision.tier, started_us, error)
            raise
        if not answered.teaches:
            self._ladder.count(answered.tier)
            return answered.response
        service_us = self._clock.monotonic_us() - started_us
        self._ladder.record(decision.tier, service_us, arrival, answered.tier)
        return answered.response

    def _record_error(
        self, call: Call, tier: Tier, started_us: int, error: Exception
    ) -> None:
        """An error of ours counts as the worst latency.

        A caller's counts as nothing, and so does a small canary's.
        """
        if is_callers_own(error) or isinstance(error, CanaryFailedError):
            return
        service_us = self._clock.monotonic_us() - started_us
        self._ladder.record_failure(tier, service_us, call.arrival)

    def _refusal(self, decision: TierDecision) -> StepwellError:
        if Reason.NO_RELEASE in decision.reasons:
            self._metrics.add(DEGRADATION_REASONS, Reason.NO_RELEASE.label)
            self._metrics.add(REFUSALS, "no_release")
            return FailedPreconditionError("no release is live")
        self._metrics.add(REFUSALS, "expired")
        return DeadlineExceededError("the deadline passed before work on it began")
