"""When to ask again: a pure decision."""

from dataclasses import dataclass

from stepwell.client.failures import Failure

_RETRIED_CODES = frozenset({"UNAVAILABLE"})


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """Limits of retries.

    Attributes:
        max_attempts: of one call, the first included, >= 1.
        backoff_us: mean pause before the second attempt; doubles with each.
        budget_permille: extra load over all calls, thousandths of the first attempts.
        budget_tokens: retries that may come in one burst.
    """

    max_attempts: int = 3
    backoff_us: int = 20_000
    budget_permille: int = 100
    budget_tokens: int = 10


def retry_delay_us(
    failure: Failure,
    num_attempts: int,
    remaining_us: int,
    jitter: float,
    options: RetryOptions,
) -> int | None:
    """Returns the pause before the next attempt, None when there should be none.

    Only UNAVAILABLE is tried again: the request never ran or may safely run twice
    (every call of this client is a read or carries ids that are stored once). A
    server's push-back replaces the back-off. A shed request is not retried here: the
    caller learns `retry_after_ms` and decides.

    Args:
        failure: of the last attempt.
        num_attempts: made so far.
        remaining_us: of the call's deadline.
        jitter: uniform in [0, 1).
        options: limits.
    """
    if failure.code not in _RETRIED_CODES or num_attempts >= options.max_attempts:
        return None
    if failure.pushback_ms is not None:
        if failure.pushback_ms < 0:
            return None
        delay_us = failure.pushback_ms * 1_000
    else:
        delay_us = int(options.backoff_us * 2 ** (num_attempts - 1) * (0.5 + jitter))
    return delay_us if delay_us < remaining_us else None
