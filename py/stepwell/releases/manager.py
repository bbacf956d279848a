"""Which releases this process holds: loads, flips the pointer, drains, refuses."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Generic

import structlog

from stepwell.base.errors import FailedPreconditionError, StepwellError
from stepwell.releases.aliases import Canary
from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.handle import (
    Content,
    Release,
    ReleaseHandle,
    ReleaseHolder,
)
from stepwell.releases.loader import Loader
from stepwell.releases.refusals import Refusals
from stepwell.releases.rollout_policy import RolloutSnapshot, Wanted, wanted
from stepwell.releases.source import RegistryState, ReleaseVersion, Source
from stepwell.releases.state import ReleaseState
from stepwell.releases.statuses import ReleaseStatus, ReleaseStatuses

_log = structlog.get_logger(__name__)
_DRAINING = (ReleaseState.QUIESCING, ReleaseState.UNLOADING)
_MAX_BORROW_ATTEMPTS = 100
_MAX_LOADS = 8
"""In one poll, refused ones among them; the next poll goes on."""


def _ignore(*_: object) -> None:
    """Of what nobody wants to know."""


@dataclass(frozen=True, slots=True)
class ManagerHooks(Generic[Content]):
    """What others want to know, and do.

    Attributes:
        on_live: told of each release that becomes live, before requests borrow it.
        on_trial: told of a canary's route before requests borrow it.
        on_trial_end: told of the canary's serial once requests borrow it no more; of
            one that a veto took down perhaps after the next one's `on_trial`.
        on_load: told how each load ended: "ready", "refused" for good, or "broken".
        on_veto: (serial, reason, evidence) of a canary that this process took down.
        unload: lets the content's memory and files go; nobody holds it any more.
        run_later: runs the unloading; at once and here by default. A server that must
            not pay for it in a request's thread hands it to another.
    """

    on_live: Callable[[Release[Content]], None] = _ignore
    on_trial: Callable[[CanaryRoute], None] = _ignore
    on_trial_end: Callable[[int], None] = _ignore
    on_load: Callable[[str], None] = _ignore
    on_veto: Callable[[int, str, str], None] = _ignore
    unload: Callable[[Content], None] = _ignore
    run_later: Callable[[Callable[[], None]], None] = field(default=lambda run: run())


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """Settings.

    Attributes:
        keep_previous: hold the release before the live one too: a rollback to it needs
            no load then, and costs its memory.
        monotonic: seconds, for the pauses after a load that broke down.
    """

    keep_previous: bool = True
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class _Serving(Generic[Content]):
    """What requests borrow from; replaced as a whole."""

    live: ReleaseHolder[Content] | None = None
    canary: ReleaseHolder[Content] | None = None
    route: CanaryRoute | None = None


class Manager(Generic[Content]):
    """Holds up to three releases: the live one, a canary, the one before.

    Args:
        source: where releases are found, and what its operators want.
        loader: verifies, builds and warms up.
        hooks: who is told.
        options: settings.

    Concurrency: everything from any thread. Only `poll` and `close` wait for a load.
    """

    def __init__(
        self,
        source: Source,
        loader: Loader[Content],
        hooks: ManagerHooks[Content] | None = None,
        options: ManagerOptions | None = None,
    ) -> None:
        self._source = source
        self._loader = loader
        self._hooks: ManagerHooks[Content] = hooks or ManagerHooks()
        self._options = options or ManagerOptions()
        self._refusals = Refusals(self._options.monotonic)
        self._serving: _Serving[Content] = _Serving()
        self._held: dict[int, ReleaseHolder[Content]] = {}
        self._vetoed: dict[int, tuple[int, str]] = {}
        self._statuses = ReleaseStatuses()
        self._lock = threading.Lock()
        # Taken in this order, poll before settle before flip before _lock, if at all.
        self._poll_lock = threading.Lock()
        self._settle_lock = threading.Lock()
        self._flip_lock = threading.Lock()

    def borrow(self, user_id: str | None = None) -> ReleaseHandle[Content]:
        """Returns a handle of the user's release; give it back when the request ends.

        The canary's when a route takes the user and is no shadow, else the live one's.

        Raises:
            FailedPreconditionError: no release is live.
        Cost: about 0.5 us, and 1 us more while there is a canary.
        """
        serving = self._serving
        route, canary = serving.route, serving.canary
        if route is not None and canary is not None and user_id is not None:
            if not route.is_shadow and route.takes(user_id):
                handle = canary.try_borrow()
                if handle is not None:
                    return handle
        return self.borrow_live()

    def borrow_live(self) -> ReleaseHandle[Content]:
        """Returns a handle of the live release, whoever asks; raises as `borrow`."""
        # The live one may retire between the two lines; its successor is then in place.
        for _ in range(_MAX_BORROW_ATTEMPTS):
            holder = self._serving.live
            if holder is None:
                break
            handle = holder.try_borrow()
            if handle is not None:
                return handle
        raise FailedPreconditionError("no release is live")

    def borrow_serial(self, serial: int) -> ReleaseHandle[Content] | None:
        """Returns a handle of a release that is held here, None of any other."""
        holder = self._held.get(serial)
        return holder.try_borrow() if holder is not None else None

    @property
    def live_serial(self) -> int | None:
        """Serial of the live release, None when there is none."""
        holder = self._serving.live
        return holder.release.manifest.serial if holder is not None else None

    @property
    def canary(self) -> CanaryRoute | None:
        """The route in force here: its release is loaded and no veto took it down."""
        return self._serving.route

    @property
    def standby_serial(self) -> int | None:
        """Serial of the release held for a rollback, None when there is none."""
        with self._flip_lock:
            held, serving = dict(self._held), self._serving
        asked = (serving.live, serving.canary)
        return next((s for s, holder in held.items() if holder not in asked), None)

    @property
    def vetoed(self) -> Mapping[int, str]:
        """Canaries that this process took down, and why."""
        with self._lock:
            return {serial: reason for serial, (_, reason) in self._vetoed.items()}

    def statuses(self) -> tuple[ReleaseStatus, ...]:
        """Returns the releases this process has dealt with, oldest serial first."""
        return self._statuses.all()

    def veto(self, serial: int, reason: str, evidence: str = "") -> bool:
        """Takes the canary down at once; False when it is not `serial`.

        Requests that hold it go on to their end. It stays down in this process until
        its operators start it anew.
        """
        with self._flip_lock:
            serving = self._serving
            route, holder = serving.route, serving.canary
            if route is None or holder is None or route.serial != serial:
                return False
            with self._lock:
                self._vetoed[serial] = (route.started_seconds, reason)
            self._serving = _Serving(serving.live)
            gone = self._let_go(serial, reason)
        gone.retire()
        _log.warning("canary taken down", serial=serial, reason=reason, seen=evidence)
        self._hooks.on_trial_end(serial)
        self._hooks.on_veto(serial, reason, evidence)
        return True

    def poll(self, *, until_live: bool = False) -> bool:
        """Looks at the source, loads what is wanted, and flips to it.

        What the operators want is looked up again after every load, for a load is long.
        A release that is refused leaves the live one in place and is logged with its
        reason.

        Args:
            until_live: load no more once a release is live; the next poll goes on.
        Returns:
            True when another release became live, or the canary's route changed.
        Cost: a listing when there is nothing to do, else the whole loads.
        """
        with self._poll_lock:
            before = self._serving
            state: RegistryState | None = None
            for _ in range(_MAX_LOADS):
                state, missing = self._settle(state)
                if missing is None or (until_live and self._serving.live is not None):
                    break
                self._load(missing)
            now = self._serving
            return now.live is not before.live or now.route != before.route

    def flip(self) -> bool:
        """Flips to what is wanted and held here; False when something must be loaded.

        Does not wait for a load: a rollback to the previous release is this.
        Cost: a listing of the source and a pointer.
        """
        _, missing = self._settle()
        return missing is None

    def close(self) -> None:
        """Retires every release; each unloads when its last handle comes back."""
        with self._poll_lock, ExitStack() as gone, self._settle_lock:
            with self._flip_lock:
                self._serving = _Serving()
            self._keep((), gone, {})

    def _settle(
        self, last: RegistryState | None = None
    ) -> tuple[RegistryState, ReleaseVersion | None]:
        """Does what needs no load; returns what it saw, and what to load first, if any.

        With a `last` look, that stands in for a source that cannot be read any more.
        """
        # What is let go retires, and may unload here, when others can flip again.
        with ExitStack() as gone, self._settle_lock:
            state = self._looked(last)
            want = self._wanted(state)
            self._end_trial(want.canary)
            # Before anything is loaded: memory then holds one release less.
            self._keep({*_serials(want), self.live_serial}, gone, state.vetoed)
            serial = self._flip_to(want, gone, state.vetoed)
            found = (v for v in state.versions if v.serial == serial)
            return state, next(found, None)

    def _looked(self, last: RegistryState | None) -> RegistryState:
        try:
            return self._source.state()
        except (StepwellError, OSError):
            if last is None:
                raise
            return last

    def _flip_to(
        self, want: Wanted, gone: ExitStack, reasons: Mapping[int, str]
    ) -> int | None:
        """Flips to what is wanted and held; returns the first serial that is not."""
        if want.live is not None:
            live = self._held.get(want.live)
            if live is None:
                return want.live
            self._make_live(live)
            self._keep(_serials(want), gone, reasons)
        route = want.canary
        if route is not None and route != self._serving.route:
            canary = self._held.get(route.serial)
            if canary is None:
                return route.serial
            self._begin_trial(route, canary)
        return None if want.standby in self._held else want.standby

    def _wanted(self, state: RegistryState) -> Wanted:
        states = {status.serial: status.state for status in self.statuses()}
        serials = [version.serial for version in state.versions]
        vetoed = set(state.vetoed)
        trial = state.aliases.canary if state.aliases is not None else None
        if trial is not None and self._took_down(trial):
            vetoed.add(trial.serial)
        return wanted(
            RolloutSnapshot(
                # A release that still drains cannot be loaded a second time.
                available=[s for s in serials if states.get(s) not in _DRAINING],
                live=self.live_serial,
                refused=self._refusals.standing(state.versions),
                aliases=state.aliases,
                vetoed=vetoed,
                keep_previous=self._options.keep_previous,
            )
        )

    def _took_down(self, trial: CanaryRoute | Canary) -> bool:
        with self._lock:
            started, _ = self._vetoed.get(trial.serial, (None, ""))
        return started == trial.started_seconds

    def _end_trial(self, route: CanaryRoute | None) -> None:
        """Lends the canary no more when it is not wanted, or another one is."""
        with self._flip_lock:
            serving = self._serving
            old = serving.route
            if old is None or (route is not None and route.serial == old.serial):
                return
            self._serving = _Serving(serving.live)
        self._hooks.on_trial_end(old.serial)

    def _keep(
        self,
        serials: Collection[int | None],
        gone: ExitStack,
        reasons: Mapping[int, str],
    ) -> None:
        """Lets all go that is held but these; `gone` retires them at its end."""
        with self._flip_lock:
            for serial in [serial for serial in self._held if serial not in serials]:
                gone.callback(self._let_go(serial, reasons.get(serial, "")).retire)

    def _make_live(self, holder: ReleaseHolder[Content]) -> None:
        if holder is self._serving.live:
            return
        self._hooks.on_live(holder.release)
        if self._lend(holder, lambda serving: replace(serving, live=holder)):
            _log.info("release live", release_id=holder.release.manifest.release_id)

    def _begin_trial(self, route: CanaryRoute, holder: ReleaseHolder[Content]) -> None:
        self._hooks.on_trial(route)
        if self._lend(
            holder, lambda serving: replace(serving, canary=holder, route=route)
        ):
            _log.info("canary", serial=route.serial, share_ppm=route.share_ppm)
        else:
            self._hooks.on_trial_end(route.serial)

    def _lend(
        self,
        holder: ReleaseHolder[Content],
        change: Callable[[_Serving[Content]], _Serving[Content]],
    ) -> bool:
        """Changes what is lent; False where a veto let the release go meanwhile."""
        with self._flip_lock:
            is_held = self._held.get(holder.release.manifest.serial) is holder
            if is_held:
                self._serving = change(self._serving)
        return is_held

    def _load(self, version: ReleaseVersion) -> None:
        serial = version.serial
        self._statuses.set(serial, ReleaseState.NEW)
        self._statuses.set(serial, ReleaseState.LOADING)
        try:
            release = self._loader.load(version.directory)
        except (StepwellError, OSError) as error:
            reason, is_final = self._refusals.add(version, error)
            self._statuses.set(serial, ReleaseState.ERROR, reason)
            self._hooks.on_load("refused" if is_final else "broken")
            _log.warning("release refused", serial=serial, reason=reason)
            return
        holder = ReleaseHolder(release, lambda: self._on_drained(serial, release))
        self._statuses.set(serial, ReleaseState.READY)
        with self._flip_lock:
            self._held[serial] = holder
        self._hooks.on_load("ready")

    def _let_go(self, serial: int, reason: str) -> ReleaseHolder[Content]:
        """Holds the release no more; the caller has _flip_lock, and retires it after.

        Where nobody has borrowed it, to retire it is to unload it.
        """
        self._statuses.set(serial, ReleaseState.QUIESCING, reason)
        return self._held.pop(serial)

    def _on_drained(self, serial: int, release: Release[Content]) -> None:
        self._hooks.run_later(lambda: self._unload(serial, release))

    def _unload(self, serial: int, release: Release[Content]) -> None:
        self._statuses.set(serial, ReleaseState.UNLOADING)
        self._hooks.unload(release.content)
        self._statuses.set(serial, ReleaseState.DISABLED)


def _serials(want: Wanted) -> set[int | None]:
    route = want.canary
    return {want.live, want.standby, route.serial if route is not None else None}
