"""Which worker has which slot among the siblings on the callers' port."""

import asyncio

import structlog

from stepwell.front.siblings import SiblingHost, SiblingSeat

_log = structlog.get_logger(__name__)


class WorkerSlots:
    """Slots for processes that come and go.

    While a slot has no process that takes connections, whatever was still sent to it
    is passed on to others: its sender may have chosen it a moment before it died.

    Args:
        num_workers: places; one slot more, for a successor that starts while the former
            worker still serves.

    Concurrency: one event loop.
    """

    def __init__(self, num_workers: int) -> None:
        self._host = SiblingHost(num_workers + 1)
        self._free = list(reversed(range(num_workers + 1)))

    def take(self) -> SiblingSeat | None:
        """Returns a seat; None when all are taken: the system alone spreads then.

        The last that was freed is the next to be taken: what waits for a worker that
        died is its successor's.
        """
        if not self._free:
            _log.error("no slot among the siblings is free")
            return None
        return self._host.seat(self._free.pop())

    def free(self, seat: SiblingSeat) -> None:
        """Takes a seat back; its process has ended."""
        slot = seat.slot
        self._host.close(slot)
        self._free.append(slot)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._host.inbox(slot), self._pass_on, slot)

    def close(self) -> None:
        """Waits for nothing any more."""
        loop = asyncio.get_running_loop()
        for slot in self._free:
            loop.remove_reader(self._host.inbox(slot))

    def _pass_on(self, slot: int) -> None:
        if self._host.is_open(slot):
            # A successor reads it now.
            inbox = self._host.inbox(slot)
            asyncio.get_running_loop().remove_reader(inbox)
            return
        passed = self._host.pass_on(slot)
        _log.info(
            "connections of a worker that ended",
            passed_on=passed.num_given,
            closed=passed.num_closed,
        )
