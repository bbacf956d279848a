"""The admission queue from Python: order, bound, refusals, and waiting threads."""

import os
import subprocess
import sys
import threading
import time

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.front.admission import AdmissionTerms
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.call import Call, LocalCall, local_call

INTERACTIVE, PREFETCH, BATCH = range(3)


def _call(name: str, priority: int = INTERACTIVE) -> LocalCall:
    return local_call(0, name.encode(), priority=priority, key=name)


def _drained(queue: AdmissionQueue) -> list[str]:
    queue.close()
    names = []
    while (call := queue.take()) is not None:
        names.append(call.message.decode())
    return names


def test_serves_by_priority_then_arrival() -> None:
    queue = AdmissionQueue(10)
    for name, priority in [
        ("b1", BATCH),
        ("i1", INTERACTIVE),
        ("p1", PREFETCH),
        ("i2", INTERACTIVE),
    ]:
        assert queue.offer(_call(name, priority)) is None
    assert queue.lengths() == (2, 1, 1)
    assert [queue.num_ahead(priority) for priority in range(3)] == [2, 3, 4]
    assert len(queue) == 4
    assert _drained(queue) == ["i1", "i2", "p1", "b1"]


def test_who_gives_way_is_told_when_to_come_back() -> None:
    queue = AdmissionQueue(1)
    first, second = _call("first"), _call("second", BATCH)
    assert queue.offer(first) is None
    assert queue.offer(second) is second
    assert first.outcome() is None
    outcome = second.outcome()
    assert isinstance(outcome, tuple)
    assert outcome[:2] == (8, "overloaded: 1 requests are ahead")
    trailers = dict(outcome[2])
    assert trailers["grpc-retry-pushback-ms"] == "1"
    details = trailers["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == outcome[:2]
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 1


def test_the_pushback_has_seconds_and_parts_of_them() -> None:
    queue = AdmissionQueue(1)
    queue.set_terms(AdmissionTerms(popular_mean_us=2_345_000))
    queue.offer(_call("first"))
    second = _call("second", BATCH)
    queue.offer(second)
    outcome = second.outcome()
    assert isinstance(outcome, tuple)
    trailers = dict(outcome[2])
    assert trailers["grpc-retry-pushback-ms"] == "2345"
    details = trailers["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    info = error_details_pb2.RetryInfo()
    status_pb2.Status.FromString(details).details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2_345


def test_a_deadline_too_short_for_any_answer_is_the_callers_own() -> None:
    queue = AdmissionQueue(1)
    now_us = time.monotonic_ns() // 1_000
    call = local_call(0, b"", arrived_us=now_us - 9_000, deadline_us=now_us - 8_000)
    assert queue.offer(call) is call
    left = "0 us are left of the deadline: too little for any answer"
    assert call.outcome() == (4, left, ())


def test_a_closed_queue_takes_nothing_in_and_hands_out_the_rest() -> None:
    queue = AdmissionQueue(3)
    queue.offer(_call("waiting"))
    queue.close()
    late = _call("late")
    assert queue.offer(late) is late
    assert late.outcome() == (14, "the server is stopping", ())
    assert _drained(queue) == ["waiting"]


def test_who_has_gone_is_ahead_of_nobody_and_never_taken() -> None:
    queue = AdmissionQueue(3)
    gone, here = _call("gone"), _call("here")
    queue.offer(gone)
    queue.offer(here)
    gone.cancel()
    assert queue.abandon(gone)
    assert not queue.abandon(gone)
    assert queue.num_ahead(BATCH) == 1
    assert _drained(queue) == ["here"]


def test_one_that_was_cancelled_while_it_waited_is_passed_over() -> None:
    queue = AdmissionQueue(3)
    gone = _call("gone")
    queue.offer(gone)
    gone.cancel()
    assert queue.try_take() is None


def test_its_age_is_visible() -> None:
    queue = AdmissionQueue(3)
    assert queue.oldest_age_us() == 0
    arrived_us = time.monotonic_ns() // 1_000 - 50_000
    queue.offer(local_call(0, b"", arrived_us=arrived_us, priority=BATCH))
    queue.offer(_call("new"))
    assert queue.oldest_age_us() >= 50_000


def test_take_gives_up_after_its_timeout() -> None:
    assert AdmissionQueue(1).take(0.001) is None
    assert AdmissionQueue(1).take(-1.0) is None


def test_a_waiting_taker_leaves_the_interpreter_to_others() -> None:
    queue = AdmissionQueue(1)
    taken: list[Call | None] = []
    taker = threading.Thread(target=lambda: taken.append(queue.take(60.0)))
    taker.start()
    call = _call("came later")
    queue.offer(call)
    taker.join()
    assert taken == [call]


def test_close_wakes_every_waiting_taker() -> None:
    queue = AdmissionQueue(1)
    takers = [threading.Thread(target=queue.take) for _ in range(3)]
    for taker in takers:
        taker.start()
    queue.close()
    for taker in takers:
        taker.join()


@pytest.mark.parametrize("max_size", [0, 1_000_001])
def test_a_bound_out_of_range_is_refused(max_size: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"max_size is {max_size}"):
        AdmissionQueue(max_size)
    with pytest.raises(InvalidArgumentError, match=f"max_size is {max_size}"):
        AdmissionQueue(1).set_max_size(max_size)


def test_another_bound_counts_for_the_next_newcomer() -> None:
    queue = AdmissionQueue(1)
    queue.set_max_size(2)
    assert queue.offer(_call("first")) is None
    assert queue.offer(_call("second")) is None
    queue.set_max_size(1)
    assert queue.offer(_call("third")) is not None
    assert len(queue) == 2


def test_a_queue_that_stands_refuses_whom_it_would_cost_his_budget() -> None:
    queue = AdmissionQueue(100)
    seconds = 1_000_000
    queue.set_terms(
        AdmissionTerms(20 * seconds, 3 * seconds, 1 * seconds, standing_us=0)
    )
    assert [queue.offer(_call(str(place))) for place in range(3)] == [None] * 3
    refused = _call("behind nine seconds")
    assert queue.offer(refused) is refused
    while queue.try_take() is not None:
        queue.left(INTERACTIVE, idle=True)
    assert queue.offer(_call("welcome")) is None


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=40))
def test_never_holds_more_than_its_bound_and_loses_nobody(
    arrivals: list[tuple[int, int]],
) -> None:
    queue = AdmissionQueue(5)
    displaced = []
    for place, (priority, user) in enumerate(arrivals):
        call = local_call(0, str(place).encode(), priority=priority, key=str(user))
        refused = queue.offer(call)
        displaced += [refused.message.decode()] if refused else []
        assert len(queue) <= 5
    names = displaced + _drained(queue)
    assert sorted(names) == sorted(str(place) for place in range(len(arrivals)))


def test_many_takers_get_each_call_once() -> None:
    queue = AdmissionQueue(500)
    queue.set_terms(AdmissionTerms(popular_mean_us=0))
    taken: list[bytes] = []

    def take_all() -> None:
        while (call := queue.take()) is not None:
            taken.append(call.message)

    takers = [threading.Thread(target=take_all) for _ in range(4)]
    for taker in takers:
        taker.start()
    for place in range(500):
        queue.offer(_call(str(place)))
    queue.close()
    for taker in takers:
        taker.join()
    assert sorted(taken) == sorted(str(place).encode() for place in range(500))


LEFT_BEHIND = """
import threading
from stepwell.front.admission_queue import AdmissionQueue
queue = AdmissionQueue(1)
threading.Thread(target=queue.take, daemon=True).start()
queue.close()
"""


def test_a_worker_left_behind_does_not_break_the_end_of_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
