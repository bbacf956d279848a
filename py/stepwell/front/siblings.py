"""What joins the fronts of several processes on one port: seats and their host.

    host = SiblingHost(num_slots=3)
    seat = host.seat(0)
    start_process(["--siblings", seat.to_text()], pass_fds=seat.descriptors)

and there `Front(options, methods, queue, SiblingSeat.from_text(text))`. Each connection
then goes to the front that has the fewest, whichever the system gave it to.
"""

from typing import NamedTuple

from stepwell.base.errors import InvalidArgumentError
from stepwell.front.extension import load_extension


class SiblingSeat(NamedTuple):
    """A front's place among its siblings.

    Attributes:
        page: descriptor of the memory in which all count their connections.
        slot: whose count is this front's.
        sockets: descriptors by slot: where that slot's connections are sent; its own is
            where they come in.
    """

    page: int
    slot: int
    sockets: tuple[int, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that a process needs."""
        return (self.page, *self.sockets)

    def to_text(self) -> str:
        """Returns what `from_text` reads: page:slot:socket,socket,..."""
        return f"{self.page}:{self.slot}:{','.join(map(str, self.sockets))}"

    @classmethod
    def from_text(cls, text: str) -> "SiblingSeat":
        """Reads a seat.

        Raises:
            InvalidArgumentError: the text is no seat.
        """
        try:
            page, slot, sockets = text.split(":")
            return cls(int(page), int(slot), tuple(map(int, sockets.split(","))))
        except ValueError:
            message = f"siblings is {text!r}, must be page:slot:socket,socket,..."
            raise InvalidArgumentError(message) from None


class PassedOn(NamedTuple):
    """What became of connections whose process has gone.

    Attributes:
        num_given: to other processes.
        num_closed: nobody was there.
    """

    num_given: int
    num_closed: int


class SiblingHost:
    """The page and the sockets, for as long as any of the processes may start.

    Args:
        num_slots: processes at a time.

    Raises:
        InvalidArgumentError: num_slots or a slot is out of range.
        UnavailableError: this process has no descriptor left.

    Concurrency: one thread at a time. Cost: two descriptors a slot and one.
    """

    def __init__(self, num_slots: int) -> None:
        self._native = load_extension().SiblingHost(num_slots)

    def seat(self, slot: int) -> SiblingSeat:
        """Returns what a process inherits; the descriptors stay the host's."""
        page, slot, sockets = self._native.seat(slot)
        return SiblingSeat(page, slot, tuple(sockets))

    def inbox(self, slot: int) -> int:
        """Returns a descriptor, readable while a slot's connections wait for it."""
        descriptor: int = self._native.inbox(slot)
        return descriptor

    def is_open(self, slot: int) -> bool:
        """Returns whether a process has the slot and takes connections."""
        return self.count(slot) >= 0

    def count(self, slot: int) -> int:
        """Returns how many connections the slot's process has; -1 while closed."""
        count: int = self._native.count(slot)
        return count

    def close(self, slot: int) -> None:
        """Says that the slot's process has ended: nobody sends it connections."""
        self._native.close(slot)

    def pass_on(self, slot: int) -> PassedOn:
        """Gives what waits for a closed slot to others, or closes it."""
        return PassedOn(*self._native.pass_on(slot))
