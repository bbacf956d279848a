"""The bookkeeping of one call's attempts, shared by the two clients."""

import random
from dataclasses import dataclass, field

import grpc

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import DeadlineExceededError
from stepwell.base.retry_budget import RetryBudget
from stepwell.client.failures import Failure, failure_of
from stepwell.client.retry_policy import RetryOptions, retry_delay_us

DEFAULT_DEADLINE_MS = 200

CHANNEL_OPTIONS = (
    # Retries are ours: counted, budgeted, within the one deadline.
    ("grpc.enable_retries", 0),
    # A server that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Settings of a client.

    Attributes:
        deadline_ms: of a call that names none, all attempts together.
        retries: limits of retries.
        clock: monotonic time.
        jitter: gives uniform numbers in [0, 1).
    """

    deadline_ms: int = DEFAULT_DEADLINE_MS
    retries: RetryOptions = field(default_factory=RetryOptions)
    clock: Clock = field(default_factory=SystemClock)
    jitter: random.Random = field(default_factory=random.Random)


class Attempts:
    """The attempts of one call. Concurrency: one thread."""

    def __init__(
        self, options: ClientOptions, budget: RetryBudget, deadline_ms: int | None
    ) -> None:
        deadline_ms = options.deadline_ms if deadline_ms is None else deadline_ms
        self.deadline_ms = deadline_ms
        self._options = options
        self._budget = budget
        self._deadline = Deadline.after_us(options.clock, deadline_ms * 1_000)
        self._former: Failure | None = None
        self.number = 0

    def begin(self) -> float:
        """Counts an attempt; returns the seconds it has, all that the call has left.

        Raises:
            DeadlineExceededError: nothing is left; nothing was sent.
        """
        self._deadline.check("call")
        if self.number == 0:
            self._budget.on_first_attempt()
        self.number += 1
        return self._deadline.remaining_us() / 1e6

    @property
    def waits_for_connection(self) -> bool:
        """True when this attempt waits, within its time, until there is a connection.

        A first attempt fails at once where nobody listens. A further one comes within
        milliseconds: the connection that was lost is not made anew by then.
        """
        return self.number > 1

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next attempt.

        Raises:
            StepwellError: there is no next attempt; the typed form of `error`.
        """
        failure = failure_of(error)
        if self._former is not None and failure.code == DeadlineExceededError.code:
            # It may have waited for a connection all the time: what kept the call from
            # an answer is what the attempt before met.
            raise self._former.error from error
        self._former = failure
        delay_us = retry_delay_us(
            failure,
            self.number,
            self._deadline.remaining_us(),
            self._options.jitter.random(),
            self._options.retries,
        )
        if delay_us is None or not self._budget.try_spend():
            raise failure.error from error
        return delay_us / 1e6


def new_budget(options: ClientOptions) -> RetryBudget:
    """Returns the budget that all calls of one client share."""
    return RetryBudget(options.retries.budget_permille, options.retries.budget_tokens)
