"""The generator against the real gRPC stack."""

import time

import grpc
import numpy as np
import pytest

from generator import At, generate
from lanes import Lane, recommend_lane
from open_loop import Schedule, merged, poisson
from stepwell.base.errors import UnavailableError
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.types import Reason, Tier
from tiny_shop import Shop


def _every(seconds: float, count: int, lane: int = 0) -> Schedule:
    return Schedule(
        np.arange(count, dtype=np.float64) * seconds, np.full(count, lane, np.int16)
    )


def test_answers_are_read_as_grpc_reads_them(shop: Shop) -> None:
    lanes = [
        recommend_lane("plain", ["u1", "u2"], num_items=3, deadline_ms=9_000),
        recommend_lane("forced", ["u3"], tier=Tier.POPULAR, deadline_ms=60_000),
    ]
    schedule = merged(_every(0.004, 40), _every(0.008, 20, lane=1))
    run = generate(shop.address, schedule, lanes, connections=4)
    assert run.status.tolist() == [0] * 60
    plain, forced = run.of_lane("plain"), run.of_lane("forced")
    assert set(plain.tier.tolist()) == {Tier.FULL}
    assert set(forced.tier.tolist()) == {Tier.POPULAR}
    assert forced.has_reason(Reason.FORCED).all()
    assert not plain.has_reason(Reason.FORCED).any()
    assert set(plain.num_items.tolist()) == {3}
    assert set(run.server_us.tolist()) == {700}
    assert shop.num_calls == 60
    assert sorted(set(shop.users)) == ["u1", "u2", "u3"]
    assert shop.users.count("u1") == shop.users.count("u2") == 20
    assert all(0 < (left or 0) <= 60 for left in shop.timeouts_s)
    assert sum((left or 0) <= 9 for left in shop.timeouts_s) == 40


def test_a_long_request_travels_in_several_frames(shop: Shop) -> None:
    ids = [f"item-{number:06}" for number in range(3_000)]
    lane = recommend_lane("heavy", ["u"], exclude_item_ids=ids, deadline_ms=5_000)
    assert len(lane.requests[0]) > 2 * 16_384
    run = generate(shop.address, _every(0.002, 60), [lane], connections=2)
    assert run.status_counts() == {"OK": 60}


def test_a_refusal_has_its_code_and_push_back(shop: Shop) -> None:
    shop.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
    lane = recommend_lane("plain", ["u"], deadline_ms=9_000)
    run = generate(shop.address, _every(0.01, 10), [lane], connections=2)
    assert run.status_counts() == {"RESOURCE_EXHAUSTED": 10}
    assert set(run.pushback_ms.tolist()) == {25}
    assert set(run.tier.tolist()) == {0}


def test_a_stall_of_the_server_shows_in_every_call_that_was_due_in_it(
    shop: Shop,
) -> None:
    def stall() -> None:
        shop.stalled_until_s = time.perf_counter() + 1.0

    run = generate(
        shop.address,
        _every(0.01, 200),
        [recommend_lane("patient", ["u"], deadline_ms=5_000)],
        connections=8,
        events=[At(0.5, stall)],
    )
    assert run.status_counts() == {"OK": 200}
    # A loop that waits would have seen one slow call of 200; half the calls were due
    # in that second.
    slow = run.latency_ms() > 100
    assert slow.sum() >= 80
    # They left when they were due, although none before them was answered.
    assert np.median(run.between(0.6, 1.4).late_ms()) < 100
    assert run.summary(20.0)["p99_ms"] > 900


def test_a_call_is_given_up_at_its_deadline_and_the_server_hears_of_it(
    shop: Shop,
) -> None:
    shop.delay_s = 1.0
    lane = recommend_lane("hasty", ["u"], deadline_ms=60)
    run = generate(shop.address, _every(0.01, 10), [lane], connections=2)
    assert run.status_counts() == {"DEADLINE_EXCEEDED": 10}
    assert run.latency_ms().min() > 50
    assert run.latency_ms().max() < 500
    assert [shop.cancelled.get(timeout=10) for _ in range(10)] == ["u"] * 10


def test_a_server_that_drains_beside_its_successor_loses_no_call(shop: Shop) -> None:
    shop.delay_s = 0.01
    lane = recommend_lane("plain", ["u"], deadline_ms=5_000)
    schedule = poisson(100, 2.0, seed=1)
    events = [At(0.8, shop.restart)]
    run = generate(shop.address, schedule, [lane], connections=4, events=events)
    counts = run.status_counts()
    # gRPC's server cancels what reaches it between its decision and its GOAWAY; what
    # comes later goes to the successor, and nothing is lost with the connection.
    assert set(counts) <= {"OK", "CANCELLED"}
    assert counts["OK"] >= 0.95 * len(schedule)


@pytest.mark.parametrize("retries", [None, RetryOptions(budget_tokens=1_000)])
def test_a_second_attempt_waits_for_a_server_that_comes_back(
    shop: Shop, retries: RetryOptions | None
) -> None:
    lane = recommend_lane("patient", ["u"], deadline_ms=9_000, retries=retries)
    events = [At(0.3, lambda: shop.die(0.4))]
    run = generate(
        shop.address, _every(0.01, 100), [lane], connections=4, events=events
    )
    failed = int((~run.ok()).sum())
    assert failed == 0 if retries else failed >= 10


def test_retries_end_with_their_budget(shop: Shop) -> None:
    shop.refusal = grpc.StatusCode.UNAVAILABLE
    eager = RetryOptions(max_attempts=3, backoff_us=1_000, budget_tokens=5)
    lane = recommend_lane("eager", ["u"], retries=eager, deadline_ms=9_000)
    run = generate(shop.address, _every(0.005, 100), [lane], connections=2)
    assert run.status_counts() == {"UNAVAILABLE": 100}
    # The push-back of 25 ms is obeyed, then the budget of 5 + 10 % is gone.
    assert 105 <= run.attempts.sum() <= 115
    assert shop.num_calls == run.attempts.sum()


def test_nobody_at_the_address_is_an_error_that_says_so() -> None:
    lane = recommend_lane("plain", ["u"])
    with pytest.raises(UnavailableError, match=r"nobody answers at 127.0.0.1:1"):
        generate("127.0.0.1:1", _every(0.01, 1), [lane])


def test_an_unknown_method_is_a_status_like_any_other(shop: Shop) -> None:
    lane = Lane("odd", (b"",), method="/shop.Shop/Nothing", deadline_ms=9_000)
    run = generate(shop.address, _every(0.01, 3), [lane], connections=1)
    assert run.status_counts() == {"UNIMPLEMENTED": 3}
