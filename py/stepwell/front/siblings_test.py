"""Seats, and fronts of one process that sit in them."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.front import Front, FrontOptions, Method
from stepwell.front.siblings import PassedOn, SiblingHost, SiblingSeat

METHODS = (Method("/test.Side/Unary"),)


def _inherited(seat: SiblingSeat) -> SiblingSeat:
    """The seat as a child process has it: by descriptors of its own."""
    sockets = tuple(os.dup(descriptor) for descriptor in seat.sockets)
    return SiblingSeat(os.dup(seat.page), seat.slot, sockets)


@contextmanager
def _front(host: SiblingHost, slot: int, port: int = 0) -> Iterator[Front]:
    options = FrontOptions(port=port, shared_port=True)
    seat = _inherited(host.seat(slot))
    front = Front(options, METHODS, AdmissionQueue(1), seat)
    front.listen()
    try:
        yield front
    finally:
        front.close()


def _connect(stack: ExitStack, port: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    address = f"127.0.0.1:{port}"
    channel = stack.enter_context(grpc.insecure_channel(address, options))
    grpc.channel_ready_future(channel).result(timeout=20.0)


def test_a_seat_is_what_its_text_says() -> None:
    seat = SiblingSeat(7, 1, (8, 9, 10))
    assert seat.to_text() == "7:1:8,9,10"
    assert SiblingSeat.from_text(seat.to_text()) == seat
    assert seat.descriptors == (7, 8, 9, 10)


@pytest.mark.parametrize("text", ["", "7:1", "7:x:8", "7:1:", "7:1:8:9"])
def test_what_is_no_seat_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="siblings is"):
        SiblingSeat.from_text(text)


def test_two_fronts_have_as_many_connections_each() -> None:
    host = SiblingHost(2)
    with (
        _front(host, 0) as one,
        _front(host, 1, one.port) as other,
        ExitStack() as callers,
    ):
        for _ in range(10):
            _connect(callers, one.port)
        assert host.count(0) == host.count(1) == 5
        counters = one.counters(), other.counters()
        assert [c.num_connections for c in counters] == [5, 5]
        given = sum(c.num_given for c in counters)
        assert given == sum(c.num_adopted for c in counters)
    assert not host.is_open(0)
    assert not host.is_open(1)


def test_a_front_without_siblings_keeps_all() -> None:
    host = SiblingHost(2)
    with _front(host, 1) as front, ExitStack() as callers:
        for _ in range(3):
            _connect(callers, front.port)
        assert (host.count(0), host.count(1)) == (-1, 3)
        assert front.counters().num_given == 0


def test_what_was_sent_to_one_that_died_is_anothers() -> None:
    host = SiblingHost(2)
    ours, callers = socket.socketpair()
    with ours, callers, _front(host, 1) as front:
        # Slot 0 has ended and somebody did not know it yet.
        seat = host.seat(1)
        outbox = socket.socket(fileno=os.dup(seat.sockets[0]))
        ours.setblocking(False)
        with outbox:
            socket.send_fds(outbox, [b"\0\0\0\0"], [ours.fileno()])
        ours.close()
        assert host.pass_on(0) == PassedOn(num_given=1, num_closed=0)
        # The first bytes of HTTP/2: somebody is there.
        callers.settimeout(20.0)
        assert len(callers.recv(9)) == 9
        assert front.counters().num_adopted == 1


def test_a_seat_that_is_none_is_named() -> None:
    host = SiblingHost(2)
    seat = _inherited(host.seat(0))
    with pytest.raises(InvalidArgumentError, match="slot is 5, must be in"):
        Front(FrontOptions(), METHODS, AdmissionQueue(1), seat._replace(slot=5))
    with pytest.raises(InvalidArgumentError, match="slot is 2, must be in"):
        host.seat(2)
    with pytest.raises(InvalidArgumentError, match="num_slots"):
        SiblingHost(0)
