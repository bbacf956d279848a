"""Which release is live in this process: loads, flips the pointer, drains, refuses."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic

import structlog

from stepwell.base.errors import FailedPreconditionError, StepwellError
from stepwell.releases.handle import (
    Content,
    Release,
    ReleaseHandle,
    ReleaseHolder,
)
from stepwell.releases.loader import Loader
from stepwell.releases.rollout_policy import RolloutSnapshot, serial_to_load
from stepwell.releases.source import Source
from stepwell.releases.state import ReleaseState, checked_transition

_log = structlog.get_logger(__name__)
_MAX_STATUSES = 64
_DRAINING = (ReleaseState.QUIESCING, ReleaseState.UNLOADING)


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """State of one release in this process; `reason` says why it is in ERROR."""

    serial: int
    state: ReleaseState
    reason: str = ""


class Manager(Generic[Content]):
    """Keeps one release live.

    Args:
        source: where releases are found.
        loader: verifies, builds and warms up.
        unload: lets the content's memory and files go.
        on_live: told of each release that becomes live, before requests borrow it.

    Concurrency: `borrow`, `live_manifest` and `statuses` from any thread and never wait
    for a load. `poll` runs in the caller's thread, one at a time.
    """

    def __init__(
        self,
        source: Source,
        loader: Loader[Content],
        unload: Callable[[Content], None] | None = None,
        on_live: Callable[[Release[Content]], None] | None = None,
    ) -> None:
        self._source = source
        self._loader = loader
        self._unload = unload
        self._on_live = on_live
        self._live: ReleaseHolder[Content] | None = None
        self._statuses: dict[int, ReleaseStatus] = {}
        self._pinned: int | None = None
        self._lock = threading.Lock()
        self._poll_lock = threading.Lock()

    def borrow(self) -> ReleaseHandle[Content]:
        """Returns a handle of the live release; give it back when the request ends.

        Raises:
            FailedPreconditionError: no release is live.
        """
        # The live one may retire between the two lines; its successor is then in place.
        for _ in range(100):
            holder = self._live
            handle = holder.try_borrow() if holder is not None else None
            if handle is not None:
                return handle
            if holder is None:
                break
        raise FailedPreconditionError("no release is live")

    @property
    def live_serial(self) -> int | None:
        """Serial of the live release, None when there is none."""
        holder = self._live
        return holder.release.manifest.serial if holder is not None else None

    def statuses(self) -> tuple[ReleaseStatus, ...]:
        """Returns the releases this process has dealt with, oldest serial first."""
        with self._lock:
            return tuple(self._statuses[serial] for serial in sorted(self._statuses))

    def pin(self, serial: int | None) -> None:
        """Makes the next polls want this release; None wants the newest again."""
        self._pinned = serial

    def poll(self) -> bool:
        """Looks at the source once and does what the policy says; True after a swap.

        A release that is refused leaves the live one in place, is logged with its
        reason and is not tried again.
        Cost: a listing when there is nothing to do, else the whole load.
        """
        with self._poll_lock:
            versions = {v.serial: v.directory for v in self._source.versions()}
            serial = serial_to_load(self._snapshot(versions.keys()))
            if serial is None:
                return False
            self._set_state(serial, ReleaseState.NEW)
            self._set_state(serial, ReleaseState.LOADING)
            try:
                release = self._loader.load(versions[serial])
            except (StepwellError, OSError) as error:
                self._set_state(serial, ReleaseState.ERROR, str(error))
                _log.warning("release refused", serial=serial, reason=str(error))
                return False
            self._make_live(serial, release)
            return True

    def close(self) -> None:
        """Retires the live release; it unloads when the last handle comes back."""
        with self._poll_lock:
            old, self._live = self._live, None
            if old is not None:
                self._retire(old)

    def _snapshot(self, serials: Collection[int]) -> RolloutSnapshot:
        states = {status.serial: status.state for status in self.statuses()}
        return RolloutSnapshot(
            # A release that still drains cannot be loaded a second time.
            available=[s for s in serials if states.get(s) not in _DRAINING],
            live=self.live_serial,
            refused=[s for s in serials if states.get(s) is ReleaseState.ERROR],
            pinned=self._pinned,
        )

    def _make_live(self, serial: int, release: Release[Content]) -> None:
        if self._on_live is not None:
            self._on_live(release)
        holder = ReleaseHolder(release, lambda: self._on_drained(serial, release))
        self._set_state(serial, ReleaseState.READY)
        old, self._live = self._live, holder
        _log.info("release live", release_id=release.manifest.release_id)
        if old is not None:
            self._retire(old)

    def _retire(self, old: ReleaseHolder[Content]) -> None:
        self._set_state(old.release.manifest.serial, ReleaseState.QUIESCING)
        old.retire()

    def _on_drained(self, serial: int, release: Release[Content]) -> None:
        self._set_state(serial, ReleaseState.UNLOADING)
        if self._unload is not None:
            self._unload(release.content)
        self._set_state(serial, ReleaseState.DISABLED)

    def _set_state(self, serial: int, state: ReleaseState, reason: str = "") -> None:
        with self._lock:
            status = self._statuses.get(serial)
            # NEW starts a life; a release may be loaded again after it was DISABLED.
            if status is not None and state is not ReleaseState.NEW:
                checked_transition(status.state, state)
            self._statuses.pop(serial, None)
            self._statuses[serial] = ReleaseStatus(serial, state, reason)
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._statuses) > _MAX_STATUSES:
            gone = next(
                serial
                for serial, status in self._statuses.items()
                if status.state in (ReleaseState.DISABLED, ReleaseState.ERROR)
            )
            del self._statuses[gone]
