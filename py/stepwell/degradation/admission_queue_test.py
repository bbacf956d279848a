"""The admission queue: order, bound, ages, and who gives way."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.degradation.admission_queue import AdmissionQueue, Priority, Ticket


def _ticket(
    name: str,
    priority: Priority = Priority.INTERACTIVE,
    arrived_us: int = 0,
    user_draw: int = 0,
) -> Ticket[str]:
    return Ticket(name, arrived_us, arrived_us + 100_000, priority, user_draw)


def _drained(queue: AdmissionQueue[str]) -> list[str]:
    queue.close()
    names = []
    while (ticket := queue.take()) is not None:
        names.append(ticket.payload)
    return names


def test_serves_by_priority_then_arrival() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(10)
    for name, priority in [
        ("b1", Priority.BATCH),
        ("i1", Priority.INTERACTIVE),
        ("p1", Priority.PREFETCH),
        ("i2", Priority.INTERACTIVE),
    ]:
        assert queue.offer(_ticket(name, priority)) is None
    assert _drained(queue) == ["i1", "i2", "p1", "b1"]


def test_when_full_the_lowest_priority_gives_way() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(2)
    queue.offer(_ticket("batch", Priority.BATCH))
    queue.offer(_ticket("first"))
    displaced = queue.offer(_ticket("second"))
    assert displaced is not None
    assert displaced.payload == "batch"
    assert _drained(queue) == ["first", "second"]


def test_when_full_a_lower_priority_newcomer_is_the_one_displaced() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(1)
    queue.offer(_ticket("waiting"))
    newcomer = _ticket("newcomer", Priority.PREFETCH)
    assert queue.offer(newcomer) is newcomer
    assert len(queue) == 1


def test_among_equals_the_highest_user_draw_gives_way() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(2)
    queue.offer(_ticket("lucky", user_draw=1))
    queue.offer(_ticket("unlucky", user_draw=999_999))
    displaced = queue.offer(_ticket("middle", user_draw=500_000))
    assert displaced is not None
    assert displaced.payload == "unlucky"


def test_an_abandoned_ticket_is_never_handed_out() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(3)
    gone = _ticket("gone")
    queue.offer(gone)
    queue.offer(_ticket("here"))
    queue.abandon(gone)
    assert _drained(queue) == ["here"]


def test_only_callers_who_still_wait_are_ahead() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(2)
    gone, here = _ticket("gone"), _ticket("here")
    queue.offer(gone)
    queue.offer(here)
    queue.abandon(gone)
    queue.abandon(gone)
    assert queue.num_ahead(Priority.BATCH) == 1
    assert queue.lengths()[Priority.INTERACTIVE] == 1
    assert queue.offer(_ticket("next")) is gone
    assert queue.num_ahead(Priority.BATCH) == 2
    assert queue.take() is here
    queue.abandon(here)
    assert queue.num_ahead(Priority.BATCH) == 1


def test_its_age_is_visible() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(3)
    assert queue.oldest_age_us(50) == 0
    queue.offer(_ticket("new", arrived_us=40))
    queue.offer(_ticket("old", Priority.BATCH, arrived_us=10))
    assert queue.oldest_age_us(50) == 40
    assert queue.lengths()[Priority.BATCH] == 1
    assert queue.num_ahead(Priority.INTERACTIVE) == 1
    assert queue.num_ahead(Priority.BATCH) == 2


def test_a_closed_queue_takes_nothing_in_and_hands_out_the_rest() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(3)
    queue.offer(_ticket("waiting"))
    queue.close()
    late = _ticket("late")
    assert queue.offer(late) is late
    assert _drained(queue) == ["waiting"]


def test_take_gives_up_after_its_timeout() -> None:
    assert AdmissionQueue[str](1).take(timeout_seconds=0.001) is None


def test_refuses_a_bound_below_one() -> None:
    with pytest.raises(ValueError, match="max_size is 0"):
        AdmissionQueue(0)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(Priority)), st.integers(0, 9)), max_size=40)
)
def test_never_holds_more_than_its_bound_and_loses_nobody(
    arrivals: list[tuple[Priority, int]],
) -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(5)
    displaced = []
    for place, (priority, draw) in enumerate(arrivals):
        ticket = queue.offer(_ticket(str(place), priority, user_draw=draw))
        displaced += [ticket.payload] if ticket else []
        assert len(queue) <= 5
    names = displaced + _drained(queue)
    assert sorted(names) == sorted(str(place) for place in range(len(arrivals)))


def test_many_takers_get_each_ticket_once() -> None:
    queue: AdmissionQueue[str] = AdmissionQueue(500)
    taken: list[str] = []

    def take_all() -> None:
        while (ticket := queue.take()) is not None:
            taken.append(ticket.payload)

    takers = [threading.Thread(target=take_all) for _ in range(4)]
    for taker in takers:
        taker.start()
    for place in range(500):
        queue.offer(_ticket(str(place)))
    queue.close()
    for taker in takers:
        taker.join()
    assert sorted(taken) == sorted(str(place) for place in range(500))
