"""Slots: who gets which, and what becomes of connections nobody waits for."""

import asyncio
import os
import socket

from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.front import Front, FrontOptions
from stepwell.front.siblings import SiblingSeat
from worker_slots import WorkerSlots


def _taken(slots: WorkerSlots) -> SiblingSeat:
    seat = slots.take()
    assert seat is not None
    return seat


def _send(connection: socket.socket, slot: int, seat: SiblingSeat) -> None:
    """Sends a connection to a slot from another seat, by somebody who has it open."""
    connection.setblocking(False)
    with socket.socket(fileno=os.dup(seat.sockets[slot])) as outbox:
        socket.send_fds(outbox, [b"\0\0\0\0"], [connection.fileno()])


async def test_there_is_one_slot_more_than_places() -> None:
    slots = WorkerSlots(2)
    seats = [_taken(slots) for _ in range(3)]
    assert [seat.slot for seat in seats] == [0, 1, 2]
    assert slots.take() is None
    slots.free(seats[1])
    assert slots.take() == seats[1]


async def test_who_died_is_followed_in_its_slot() -> None:
    slots = WorkerSlots(3)
    seats = [_taken(slots) for _ in range(3)]
    slots.free(seats[1])
    assert _taken(slots).slot == 1
    slots.close()


async def test_what_nobody_is_left_for_is_closed_whenever_it_comes() -> None:
    slots = WorkerSlots(1)
    seat, other = _taken(slots), _taken(slots)
    slots.free(seat)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        ours, callers = socket.socketpair()
        with ours, callers:
            _send(ours, seat.slot, other)
            ours.close()
            callers.setblocking(False)
            end = await asyncio.wait_for(loop.sock_recv(callers, 1), 20.0)
            assert end == b""
    slots.close()


async def test_a_successor_that_serves_reads_for_itself() -> None:
    slots = WorkerSlots(1)
    seat, other = _taken(slots), _taken(slots)
    slots.free(seat)
    assert slots.take() == seat
    sockets = tuple(os.dup(descriptor) for descriptor in seat.sockets)
    inherited = SiblingSeat(os.dup(seat.page), seat.slot, sockets)
    front = Front(FrontOptions(), (), AdmissionQueue(1), inherited)
    front.listen()
    ours, callers = socket.socketpair()
    with ours, callers:
        _send(ours, seat.slot, other)
        ours.close()
        callers.setblocking(False)
        loop = asyncio.get_running_loop()
        head = await asyncio.wait_for(loop.sock_recv(callers, 9), 20.0)
        assert len(head) == 9
    assert front.counters().num_adopted == 1
    front.close()
    slots.close()
