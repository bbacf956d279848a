"""What became of each release that a process has dealt with."""

import threading
from dataclasses import dataclass

from stepwell.releases.state import ReleaseState, checked_transition

MAX_STATUSES = 64
_ENDS = (ReleaseState.DISABLED, ReleaseState.ERROR)


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """State of one release in this process.

    `reason` says why it is in ERROR, or why it was taken down as a canary.
    """

    serial: int
    state: ReleaseState
    reason: str = ""


class ReleaseStatuses:
    """The newest statuses, by serial. Concurrency: thread-safe."""

    def __init__(self) -> None:
        self._by_serial: dict[int, ReleaseStatus] = {}
        self._lock = threading.Lock()

    def all(self) -> tuple[ReleaseStatus, ...]:
        """Returns every status, oldest serial first."""
        with self._lock:
            return tuple(self._by_serial[serial] for serial in sorted(self._by_serial))

    def set(self, serial: int, state: ReleaseState, reason: str = "") -> None:
        """Moves a release on; a reason stays until its next life.

        NEW starts a life: a release may be loaded again after it was let go.

        Raises:
            FailedPreconditionError: the state cannot follow the one it is in.
        """
        with self._lock:
            status = self._by_serial.pop(serial, None)
            if status is not None and state is not ReleaseState.NEW:
                checked_transition(status.state, state)
                reason = reason or status.reason
            self._by_serial[serial] = ReleaseStatus(serial, state, reason)
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._by_serial) > MAX_STATUSES:
            ended = (
                s for s, status in self._by_serial.items() if status.state in _ENDS
            )
            del self._by_serial[next(ended)]
