"""The dispatcher with a real queue and real workers, gated by events."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    StepwellError,
)
from stepwell.base.metric_names import IN_FLIGHT, REFUSALS
from stepwell.base.metrics import Metrics
from stepwell.degradation.admission_queue import AdmissionQueue, Priority
from stepwell.degradation.controller import Arrival, LadderController
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost, TierDecision
from stepwell.serving.call import Call
from stepwell.serving.dispatcher import Answered, Dispatcher, WaitingCall

Outcome = tuple[str, TierDecision, str]

CARD = {
    Tier.FULL: TierCost(8_000, 6_000),
    Tier.REDUCED: TierCost(3_000, 2_000),
    Tier.POPULAR: TierCost(300, 200),
}


class _CancelledByCallerError(StepwellError):
    code = "CANCELLED"


class _Bench:
    """A dispatcher whose answers say who answered, at which tier, on which thread."""

    def __init__(self, max_queue_size: int = 8) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.ladder = LadderController(self.clock, CARD, {})
        self.queue: AdmissionQueue[WaitingCall[Outcome]] = AdmissionQueue(
            max_queue_size
        )
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.error: Exception | None = None
        self.dispatcher: Dispatcher[Outcome] = Dispatcher(
            self.ladder,
            self.queue,
            self._answer,
            self.clock,
            self.metrics,
        )

    def _answer(
        self, call: Call, decision: TierDecision, queue_us: int
    ) -> Answered[Outcome]:
        thread = threading.current_thread().name
        if thread.startswith("worker"):
            self.busy.set()
            self.gate.wait()
        if self.error is not None:
            raise self.error
        assert decision.tier is not None
        return Answered((call.user_id, decision, thread), decision.tier)

    def call(
        self,
        user: str = "u",
        tier: Tier | None = None,
        draw: int = 0,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Call:
        now_us = self.clock.monotonic_us()
        arrival = Arrival(now_us, now_us + 100_000, draw, 999_999, tier)
        return Call("r", user, 10, arrival, priority)


@pytest.fixture
def bench() -> Iterator[_Bench]:
    bench = _Bench()
    bench.dispatcher.start(num_workers=1)
    yield bench
    bench.gate.set()
    bench.dispatcher.close()


async def test_a_worker_answers_at_the_tier_that_fits(bench: _Bench) -> None:
    user, decision, thread = await bench.dispatcher.submit(bench.call("ann"))
    assert (user, decision, thread) == ("ann", TierDecision(Tier.FULL), "worker-0")
    assert bench.ladder.status().num_served[Tier.FULL] == 1


async def test_forced_popular_is_answered_without_a_worker(bench: _Bench) -> None:
    bench.gate.clear()
    _, decision, thread = await bench.dispatcher.submit(bench.call(tier=Tier.POPULAR))
    assert decision == TierDecision(Tier.POPULAR, (Reason.FORCED,))
    assert thread == "MainThread"


async def test_a_call_without_a_place_in_the_queue_is_refused_with_push_back() -> None:
    bench = _Bench(max_queue_size=1)
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)
    running = asyncio.create_task(bench.dispatcher.submit(bench.call("running")))
    await asyncio.to_thread(bench.busy.wait)
    waiting = asyncio.create_task(bench.dispatcher.submit(bench.call("waiting")))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhaustedError, match="1 requests are ahead") as caught:
        await bench.dispatcher.submit(bench.call("late", draw=9))
    assert caught.value.retry_after_ms >= 1
    assert bench.metrics.value(REFUSALS, "overload") == 1
    bench.gate.set()
    assert (await running)[0] == "running"
    assert (await waiting)[0] == "waiting"
    bench.dispatcher.close()


async def test_refuses_with_push_back_when_even_popular_would_be_late(
    bench: _Bench,
) -> None:
    bench.gate.clear()
    running = asyncio.create_task(bench.dispatcher.submit(bench.call("running")))
    await asyncio.to_thread(bench.busy.wait)
    waiting = asyncio.create_task(bench.dispatcher.submit(bench.call("waiting")))
    call = bench.call(tier=Tier.REDUCED)  # forced: it waits for its turn
    await asyncio.sleep(0)
    bench.clock.advance_us(99_700)  # POPULAR would do alone: 200 us
    with pytest.raises(ResourceExhaustedError, match="1 requests are ahead") as caught:
        await bench.dispatcher.submit(call)
    assert caught.value.retry_after_ms >= 1
    assert bench.metrics.value(REFUSALS, "overload") == 1
    bench.gate.set()
    await asyncio.gather(running, waiting)


async def test_a_deadline_too_short_for_any_answer_is_no_overload(
    bench: _Bench,
) -> None:
    call = bench.call()
    bench.clock.advance_us(99_900)
    with pytest.raises(DeadlineExceededError, match="100 us are left"):
        await bench.dispatcher.submit(call)
    assert bench.metrics.value(REFUSALS, "overload") == 0
    assert bench.metrics.value(REFUSALS, "expired") == 1


async def test_who_waited_where_only_the_loop_could_see_is_told_so_by_the_push_back(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.ladder, "admits", lambda *_: False)
    call = bench.call()
    bench.clock.advance_us(15_000)
    with pytest.raises(ResourceExhaustedError, match="0 requests are ahead") as caught:
        await bench.dispatcher.submit(call)
    assert caught.value.retry_after_ms == 15
    assert bench.metrics.value(REFUSALS, "overload") == 1


async def test_what_can_only_be_popular_is_answered_and_not_refused(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.ladder, "admits", lambda *_: False)
    bench.gate.clear()
    call = bench.call()
    bench.clock.advance_us(90_000)
    _, decision, thread = await bench.dispatcher.submit(call)
    assert decision == TierDecision(Tier.POPULAR, (Reason.BACKLOG,))
    assert thread == "MainThread"
    assert bench.metrics.value(REFUSALS, "overload") == 0


async def test_an_expired_call_is_never_started(bench: _Bench) -> None:
    bench.gate.clear()
    running = asyncio.create_task(bench.dispatcher.submit(bench.call("running")))
    await asyncio.to_thread(bench.busy.wait)
    waiting = asyncio.create_task(bench.dispatcher.submit(bench.call("waiting")))
    await asyncio.sleep(0)
    bench.clock.advance_us(100_000)
    bench.gate.set()
    await running
    with pytest.raises(DeadlineExceededError):
        await waiting
    assert bench.metrics.value(REFUSALS, "expired") == 1


async def test_a_call_whose_caller_has_gone_is_never_started(bench: _Bench) -> None:
    bench.gate.clear()
    running = asyncio.create_task(bench.dispatcher.submit(bench.call("running")))
    await asyncio.to_thread(bench.busy.wait)
    waiting = asyncio.create_task(bench.dispatcher.submit(bench.call("gone")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    bench.gate.set()
    await running
    await bench.dispatcher.submit(bench.call("next"))
    assert bench.ladder.status().num_served[Tier.FULL] == 2


async def test_work_in_flight_counts_callers_gone_until_it_has_ended(
    bench: _Bench,
) -> None:
    def in_flight() -> float:
        return bench.metrics.value(IN_FLIGHT)

    bench.gate.clear()
    call = bench.call("running")
    running = asyncio.create_task(bench.dispatcher.submit(call))
    await asyncio.to_thread(bench.busy.wait)
    waiting = asyncio.create_task(bench.dispatcher.submit(bench.call("waiting")))
    await asyncio.sleep(0)
    assert in_flight() == 2
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    # Nobody will take the one that waited; a worker still has the other.
    assert in_flight() == 1
    assert call.caller.has_gone()
    bench.gate.set()
    await bench.dispatcher.submit(bench.call("next"))
    assert in_flight() == 0


async def test_a_run_that_its_caller_ended_is_no_error_of_ours(bench: _Bench) -> None:
    bench.error = _CancelledByCallerError("nobody waits")
    with pytest.raises(_CancelledByCallerError):
        await bench.dispatcher.submit(bench.call())
    assert not bench.ladder.status().costs[Tier.FULL].is_live


async def test_the_loop_is_told_of_many_outcomes_at_once() -> None:
    bench = _Bench(max_queue_size=64)
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)
    calls = [
        asyncio.create_task(bench.dispatcher.submit(bench.call(f"u{place}")))
        for place in range(20)
    ]
    await asyncio.to_thread(bench.busy.wait)
    bench.gate.set()
    bench.dispatcher.close()  # on the loop, which therefore hears of all twenty late
    assert bench.metrics.value(IN_FLIGHT) == 20
    assert [outcome[0] for outcome in await asyncio.gather(*calls)] == [
        f"u{place}" for place in range(20)
    ]
    assert bench.metrics.value(IN_FLIGHT) == 0


async def test_waiting_batch_calls_and_callers_gone_degrade_nobody() -> None:
    bench = _Bench(max_queue_size=64)
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)

    def submit(priority: Priority) -> "asyncio.Task[Outcome]":
        call = bench.call(priority=priority)
        return asyncio.create_task(bench.dispatcher.submit(call))

    tasks = [submit(Priority.INTERACTIVE)]
    await asyncio.to_thread(bench.busy.wait)
    wanted = submit(Priority.INTERACTIVE)
    gone = [submit(Priority.INTERACTIVE) for _ in range(25)]
    tasks += [submit(Priority.BATCH) for _ in range(25)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    bench.gate.set()
    assert (await wanted)[1] == TierDecision(Tier.FULL)
    await asyncio.gather(*tasks)
    bench.dispatcher.close()


@pytest.mark.parametrize("error", [None, ValueError("broken weights")])
async def test_every_worker_is_prepared_before_it_takes_a_call(
    error: Exception | None,
) -> None:
    bench = _Bench()
    prepared: list[str] = []

    def prepare() -> None:
        prepared.append(threading.current_thread().name)
        assert not bench.busy.is_set()
        if error is not None:
            raise error

    early = asyncio.create_task(bench.dispatcher.submit(bench.call("early")))
    await asyncio.sleep(0)
    bench.dispatcher.start(2, prepare)
    assert sorted(prepared) == ["worker-0", "worker-1"]
    assert (await early)[0] == "early"
    bench.dispatcher.close()


async def test_without_a_release_says_so_before_there_are_workers() -> None:
    bench = _Bench()
    bench.ladder.release_gone()
    with pytest.raises(FailedPreconditionError, match="no release is live"):
        await bench.dispatcher.submit(bench.call())
    assert bench.metrics.value(REFUSALS, "no_release") == 1


async def test_an_error_of_ours_reaches_the_caller_and_raises_the_cost(
    bench: _Bench,
) -> None:
    bench.error = RuntimeError("a bug")
    for _ in range(2):  # one alone is no pattern
        with pytest.raises(RuntimeError, match="a bug"):
            await bench.dispatcher.submit(bench.call())
    assert bench.ladder.status().costs[Tier.FULL].p95_us >= 50_000


async def test_a_mistake_of_the_caller_costs_nothing(bench: _Bench) -> None:
    bench.error = InvalidArgumentError("bad", "k")
    with pytest.raises(InvalidArgumentError):
        await bench.dispatcher.submit(bench.call())
    assert not bench.ladder.status().costs[Tier.FULL].is_live


async def test_closing_finishes_what_waits() -> None:
    bench = _Bench()
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)
    calls = [
        asyncio.create_task(bench.dispatcher.submit(bench.call(f"u{place}")))
        for place in range(3)
    ]
    await asyncio.sleep(0)
    bench.gate.set()
    await asyncio.to_thread(bench.dispatcher.close)
    assert [user for user, _, _ in await asyncio.gather(*calls)] == ["u0", "u1", "u2"]
