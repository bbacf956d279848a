"""The workers with a real queue, gated by events."""

import threading
from collections.abc import Iterator

import pytest

from stepwell.base.clock import FakeClock
from stepwell.degradation.controller import LadderController
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.call import Call, LocalCall, local_call
from stepwell.serving.dispatcher import Dispatcher

CARD = {tier: TierCost(300, 200) for tier in Tier}


class _Bench:
    """A dispatcher whose answers say which thread answered what."""

    def __init__(self) -> None:
        self.queue = AdmissionQueue(64)
        self.ladder = LadderController(FakeClock(), CARD, {})
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.ended = threading.Semaphore(0)
        self.error: Exception | None = None
        self.dispatcher = Dispatcher(self.queue, self._handle, self.ladder)

    def _handle(self, call: Call) -> None:
        self.busy.set()
        self.gate.wait()
        try:
            if self.error is not None:
                raise self.error
            thread = threading.current_thread().name
            call.answer(call.message + b" by " + thread.encode())
        finally:
            self.ended.release()

    def call(self, message: bytes, priority: int = 0) -> LocalCall:
        """Puts a call into the queue."""
        call = local_call(
            0,
            message,
            arrived_us=0,
            deadline_us=None,
            priority=priority,
            key=message.decode(),
        )
        assert self.queue.offer(call) is None
        return call

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self.ended.acquire(timeout=30)


@pytest.fixture
def bench() -> Iterator[_Bench]:
    bench = _Bench()
    yield bench
    bench.gate.set()
    bench.dispatcher.close()


def test_a_worker_answers_each_call_once(bench: _Bench) -> None:
    bench.dispatcher.start(num_workers=1)
    calls = [bench.call(b"%d" % place) for place in range(20)]
    bench.wait_for(20)
    assert [call.outcome() for call in calls] == [
        b"%d by worker-0" % place for place in range(20)
    ]


def test_who_matters_more_goes_first(bench: _Bench) -> None:
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)
    bench.call(b"running")
    assert bench.busy.wait(30)
    batch, person = bench.call(b"batch", 2), bench.call(b"person")
    bench.gate.set()
    bench.wait_for(2)
    assert person.outcome() is not None
    bench.wait_for(1)
    assert batch.outcome() is not None


def test_counts_the_calls_in_hand_until_they_have_ended(bench: _Bench) -> None:
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)
    call = bench.call(b"running")
    assert bench.busy.wait(30)
    call.cancel()  # work on it goes on for a while
    assert bench.dispatcher.num_busy == 1
    bench.gate.set()
    bench.dispatcher.close()
    assert bench.dispatcher.num_busy == 0


def test_a_call_whose_caller_has_gone_is_never_started(bench: _Bench) -> None:
    bench.gate.clear()
    bench.dispatcher.start(num_workers=1)
    bench.call(b"running")
    assert bench.busy.wait(30)
    gone = bench.call(b"gone")
    gone.cancel()
    after = bench.call(b"next")
    bench.gate.set()
    bench.wait_for(2)
    assert after.outcome() == b"next by worker-0"
    assert gone.outcome() is None


@pytest.mark.parametrize("error", [None, ValueError("broken weights")])
def test_every_worker_is_prepared_before_it_takes_a_call(
    bench: _Bench, error: Exception | None
) -> None:
    prepared: list[str] = []

    def prepare() -> None:
        assert not bench.busy.is_set()
        prepared.append(threading.current_thread().name)
        if error is not None:
            raise error

    early = bench.call(b"early")
    bench.dispatcher.start(2, prepare)
    assert sorted(prepared) == ["worker-0", "worker-1"]
    bench.wait_for(1)
    assert early.outcome() is not None


def test_without_a_release_one_says_so_until_there_is_one(bench: _Bench) -> None:
    bench.ladder.release_gone()
    bench.dispatcher.open()
    refused = bench.call(b"early")
    bench.wait_for(1)
    assert refused.outcome() == b"early by no-release"
    bench.busy.clear()
    bench.gate.clear()
    last = bench.call(b"last")
    assert bench.busy.wait(30)
    bench.ladder.release_went_live(CARD)
    waiting = bench.call(b"waiting")
    bench.gate.set()
    bench.wait_for(1)
    assert last.outcome() == b"last by no-release"
    bench.dispatcher.start(1)
    bench.wait_for(1)
    assert waiting.outcome() == b"waiting by worker-0"


def test_a_call_that_breaks_all_is_answered_and_the_worker_goes_on(
    bench: _Bench,
) -> None:
    bench.dispatcher.start(1)
    bench.error = RuntimeError("not even the error could be told")
    broken = bench.call(b"broken")
    bench.wait_for(1)
    bench.error = None
    after = bench.call(b"next")
    bench.wait_for(1)
    assert broken.outcome() == (13, "internal error", ())
    assert after.outcome() == b"next by worker-0"


def test_an_idle_worker_keeps_the_terms_of_admission_fresh(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Semaphore(0)
    monkeypatch.setattr(bench.ladder, "publish_terms", looked.release)
    bench.dispatcher.start(1)
    for _ in range(2):
        assert looked.acquire(timeout=30)


def test_closing_has_what_waits_answered(bench: _Bench) -> None:
    bench.gate.clear()
    bench.dispatcher.start(1)
    calls = [bench.call(b"%d" % place) for place in range(3)]
    assert bench.busy.wait(30)
    closing = threading.Thread(target=bench.dispatcher.close)
    closing.start()
    bench.gate.set()
    closing.join()
    assert all(call.outcome() is not None for call in calls)
