"""The retry budget bounds the extra load."""

import threading

import pytest

from stepwell.base.retry_budget import RetryBudget


@pytest.mark.parametrize("num_calls", [100, 1_000, 5_000])
def test_extra_load_stays_under_its_share_when_every_call_fails(num_calls: int) -> None:
    budget = RetryBudget(ratio_permille=100, max_tokens=10)
    num_retries = 0
    for _ in range(num_calls):
        budget.on_first_attempt()
        num_retries += budget.try_spend()
    assert num_calls // 10 <= num_retries <= num_calls // 10 + 10


def test_a_full_bucket_does_not_overflow() -> None:
    budget = RetryBudget(max_tokens=2)
    for _ in range(1_000):
        budget.on_first_attempt()
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]
    assert budget.tokens == 0


def test_a_ratio_of_zero_never_refills() -> None:
    budget = RetryBudget(ratio_permille=0, max_tokens=1)
    assert budget.try_spend()
    budget.on_first_attempt()
    assert not budget.try_spend()


@pytest.mark.parametrize(
    ("ratio", "tokens", "named"), [(-1, 1, "ratio"), (1001, 1, "ratio"), (5, 0, "max_")]
)
def test_refuses_settings_out_of_range(ratio: int, tokens: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RetryBudget(ratio, tokens)


def test_two_threads_never_spend_the_same_token() -> None:
    budget = RetryBudget(ratio_permille=0, max_tokens=1_000)
    spent: list[int] = []

    def spend_all() -> None:
        spent.append(sum(budget.try_spend() for _ in range(1_000)))

    threads = [threading.Thread(target=spend_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) == 1_000
