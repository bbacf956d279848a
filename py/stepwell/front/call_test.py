"""Calls as Python sees them: what was asked, and the one outcome."""

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.call import local_call


def test_says_what_was_asked() -> None:
    call = local_call(
        2,
        b"\x00\xffbytes",
        arrived_us=5,
        deadline_us=70,
        priority=1,
        metadata=[("x-request-id", "r1"), ("trace-bin", b"\x00\xfe")],
    )
    assert (call.method, call.message) == (2, b"\x00\xffbytes")
    assert (call.arrived_us, call.deadline_us, call.has_deadline) == (5, 70, True)
    assert call.priority == 1
    assert call.metadata == (("x-request-id", "r1"), ("trace-bin", b"\x00\xfe"))
    assert not call.is_cancelled


def test_says_which_list_is_too_long() -> None:
    assert local_call(0, b"").excess is None
    assert local_call(0, b"", excess=(3, 1_001)).excess == (3, 1_001)


def test_without_a_deadline_there_is_none() -> None:
    call = local_call(0, b"")
    assert call.deadline_us is None
    assert not call.has_deadline


def test_the_first_end_counts() -> None:
    call = local_call(0, b"")
    assert call.outcome() is None
    call.answer(b"first\x00")
    call.answer(b"second")
    call.fail(13, "third")
    assert call.outcome() == b"first\x00"


def test_a_failure_has_code_message_and_trailers() -> None:
    call = local_call(0, b"")
    call.fail(3, "k is 0 – zero", [("details-bin", b"\xff"), ("plain", "text")])
    call.answer(b"late")
    trailers = (("details-bin", b"\xff"), ("plain", "text"))
    assert call.outcome() == (3, "k is 0 – zero", trailers)


def test_a_stream_sends_until_its_end() -> None:
    call = local_call(0, b"")
    call.send(b"one")
    call.send(b"two")
    call.fail(0, "")
    call.send(b"late")
    assert call.sent() == [b"one", b"two"]
    assert call.outcome() == (0, "", ())


def test_who_has_gone_gets_no_answer() -> None:
    call = local_call(0, b"")
    call.cancel()
    call.answer(b"nobody listens")
    assert call.is_cancelled
    assert call.outcome() is None


def test_a_queue_gives_back_the_very_object_while_it_lives() -> None:
    queue = AdmissionQueue(2)
    call = local_call(0, b"")
    queue.offer(call)
    assert queue.take(0) is call


def test_refuses_an_unknown_priority_by_name() -> None:
    with pytest.raises(InvalidArgumentError, match="priority is 3, must be in"):
        local_call(0, b"", priority=3)


def test_only_bytes_are_answered() -> None:
    with pytest.raises(TypeError):
        local_call(0, b"").answer(17)  # type: ignore[arg-type]
