"""The bookkeeping of one call's attempts, shared by the two clients."""

import random
from dataclasses import dataclass, field

import grpc

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.retry_budget import RetryBudget
from stepwell.client.failures import failure_of
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
        self._options = options
        self._budget = budget
        self._deadline = Deadline.after_us(options.clock, deadline_ms * 1_000)
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

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next attempt.

        Raises:
            StepwellError: there is no next attempt; the typed form of `error`.
        """
        failure = failure_of(error)
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
