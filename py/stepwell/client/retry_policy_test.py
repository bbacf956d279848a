"""The retry decision, as a table."""

import pytest

from stepwell.base.errors import UnavailableError
from stepwell.client.failures import Failure
from stepwell.client.retry_policy import RetryOptions, retry_delay_us

OPTIONS = RetryOptions(max_attempts=3, backoff_us=1_000)


def _delay(
    code: str = "UNAVAILABLE",
    pushback_ms: int | None = None,
    num_attempts: int = 1,
    remaining_us: int = 100_000,
    jitter: float = 0.5,
) -> int | None:
    failure = Failure(UnavailableError("down"), code, pushback_ms)
    return retry_delay_us(failure, num_attempts, remaining_us, jitter, OPTIONS)


@pytest.mark.parametrize(
    ("num_attempts", "jitter", "expected"),
    [(1, 0.0, 500), (1, 0.5, 1_000), (2, 0.5, 2_000), (2, 0.999, 2_998)],
)
def test_backs_off_longer_each_time_with_jitter(
    num_attempts: int, jitter: float, expected: int
) -> None:
    assert _delay(num_attempts=num_attempts, jitter=jitter) == expected


def test_stops_at_the_last_attempt() -> None:
    assert _delay(num_attempts=3) is None


@pytest.mark.parametrize(
    "code",
    [
        "RESOURCE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
        "INTERNAL",
        "CANCELLED",
        "UNKNOWN",
    ],
)
def test_retries_no_other_code_even_when_the_server_names_a_time(code: str) -> None:
    assert _delay(code) is None
    assert _delay(code, pushback_ms=5) is None


@pytest.mark.parametrize(
    ("pushback_ms", "expected"), [(0, 0), (7, 7_000), (-1, None), (99, 99_000)]
)
def test_obeys_push_back(pushback_ms: int, expected: int | None) -> None:
    assert _delay(pushback_ms=pushback_ms) == expected


@pytest.mark.parametrize("pushback_ms", [None, 2])
def test_does_not_wait_past_the_deadline(pushback_ms: int | None) -> None:
    assert _delay(pushback_ms=pushback_ms, remaining_us=900) is None
    assert _delay(pushback_ms=pushback_ms, remaining_us=-5) is None
