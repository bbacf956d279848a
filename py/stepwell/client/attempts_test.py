"""One call's attempts, on a fake clock."""

import random

import grpc
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import DeadlineExceededError, UnavailableError
from stepwell.client.attempts import Attempts, ClientOptions, new_budget
from stepwell.client.retry_policy import RetryOptions


class Unavailable(grpc.RpcError):
    """What grpc raises when nobody is there."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "down"

    def trailing_metadata(self) -> tuple[()]:
        return ()


def _options(clock: FakeClock, budget_tokens: int = 10) -> ClientOptions:
    retries = RetryOptions(backoff_us=1_000, budget_tokens=budget_tokens)
    return ClientOptions(deadline_ms=50, retries=retries, clock=clock)


def _attempts(clock: FakeClock, deadline_ms: int | None = None) -> Attempts:
    options = _options(clock)
    return Attempts(options, new_budget(options), deadline_ms)


def test_all_attempts_share_one_deadline() -> None:
    clock = FakeClock()
    attempts = _attempts(clock)
    assert attempts.begin() == pytest.approx(0.050)
    clock.advance_us(20_000)
    attempts.pause_after(Unavailable())
    assert attempts.begin() == pytest.approx(0.030)
    assert attempts.number == 2


def test_a_call_may_bring_its_own_deadline() -> None:
    assert _attempts(FakeClock(), deadline_ms=7).begin() == pytest.approx(0.007)


def test_sends_nothing_once_the_deadline_has_passed() -> None:
    clock = FakeClock()
    attempts = _attempts(clock)
    clock.advance_us(50_000)
    with pytest.raises(DeadlineExceededError):
        attempts.begin()
    assert attempts.number == 0


def test_waits_as_the_policy_says() -> None:
    options = ClientOptions(
        retries=RetryOptions(backoff_us=1_000), jitter=random.Random(3)
    )
    attempts = Attempts(options, new_budget(options), None)
    attempts.begin()
    expected = (0.5 + random.Random(3).random()) / 1e3
    assert attempts.pause_after(Unavailable()) == pytest.approx(expected, abs=1e-6)


def test_an_empty_budget_ends_the_call() -> None:
    options = _options(FakeClock(), budget_tokens=1)
    budget = new_budget(options)
    attempts = Attempts(options, budget, None)
    attempts.begin()
    attempts.pause_after(Unavailable())
    attempts.begin()
    with pytest.raises(UnavailableError, match="UNAVAILABLE: down"):
        attempts.pause_after(Unavailable())


class Late(Unavailable):
    """The deadline passed before there was an answer."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(Unavailable):
    """A server that is being stopped took the call and gave it no answer."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED


def test_only_a_further_attempt_waits_for_a_connection() -> None:
    attempts = _attempts(FakeClock())
    attempts.begin()
    assert not attempts.waits_for_connection
    attempts.pause_after(Cancelled())
    attempts.begin()
    assert attempts.waits_for_connection


def test_a_wait_in_vain_says_what_the_attempt_before_met() -> None:
    attempts = _attempts(FakeClock())
    attempts.begin()
    attempts.pause_after(Unavailable())
    attempts.begin()
    with pytest.raises(UnavailableError, match="down"):
        attempts.pause_after(Late())


def test_a_first_attempt_that_is_late_is_late() -> None:
    attempts = _attempts(FakeClock())
    attempts.begin()
    with pytest.raises(DeadlineExceededError):
        attempts.pause_after(Late())
