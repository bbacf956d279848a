"""Looks at a canary every second, and takes it down when it is worse than live."""

import threading
from dataclasses import dataclass
from typing import Protocol

import structlog

from stepwell.base.errors import StepwellError
from stepwell.base.metric_names import (
    CANARY_ANSWERS,
    CANARY_ROLLBACKS,
    CANARY_SERIAL,
)
from stepwell.base.metrics import Metrics
from stepwell.experiments.guardrails import Limits, Verdict, verdict
from stepwell.releases.canary_route import CanaryRoute
from stepwell.serving.audit_log import AuditEntry, AuditLog
from stepwell.serving.release_outcomes import ReleaseOutcomes
from stepwell.serving.response_reader import ResponseReader

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0


class Rollouts(Protocol):
    """The manager, as the watch sees it."""

    def veto(self, serial: int, reason: str, evidence: str = "") -> bool:
        """Takes the canary down at once; False when it is not `serial`."""
        ...


@dataclass(frozen=True, slots=True)
class WatchParts:
    """What a watch stands on.

    Attributes:
        rollouts: takes a canary down.
        outcomes: of live and of the canary.
        responses: reads what users did with the answers.
        audit: gets a line of each canary that is taken down.
    """

    rollouts: Rollouts
    outcomes: ReleaseOutcomes
    responses: ResponseReader
    audit: AuditLog


class CanaryWatch:
    """Compares a canary with live from its first answer on, until it is gone.

    A registry that cannot be written keeps no canary up: the veto holds in this process
    at once, and what else is to know of it comes after.

    Args:
        parts: what it stands on.
        metrics: what it found.
        limits: what counts as worse.
        look_seconds: pause between two looks.

    Concurrency: `begin`, `restart` and `end` from any thread; one thread looks.
    Cost: about 0.3 ms a look, and 5 us an event of users; nothing without a canary.
    """

    def __init__(
        self,
        parts: WatchParts,
        metrics: Metrics,
        limits: Limits | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._parts = parts
        self._metrics = metrics
        self._limits = limits or Limits()
        self._look_seconds = look_seconds
        self._serial: int | None = None
        self._route: CanaryRoute | None = None
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread that looks; it sleeps until there is a canary.

        Not from a thread that stands back: it would inherit its place, and a canary
        that uses the processor up could not be taken down for it.
        """
        self._thread = threading.Thread(target=self._work, name="canary-watch")
        self._thread.daemon = True
        self._thread.start()

    def begin(self, route: CanaryRoute) -> None:
        """Begins to compare, before the canary's first answer.

        A shadow is not compared: nobody sees what it answers.
        """
        with self._lock:
            self._metrics.set(CANARY_SERIAL, route.serial)
            self._serial = route.serial
            self._route = None if route.is_shadow else route
            self._restart()

    def restart(self) -> None:
        """Compares anew, such as after another release became live.

        A log that does not answer keeps no release from becoming live, nor a canary
        from being looked at: responses count from its return on.
        """
        with self._lock:
            self._restart()

    def end(self, serial: int) -> None:
        """Compares this canary no more; nothing where another has begun since."""
        with self._lock:
            if serial != self._serial:
                return
            self._serial = self._route = None
            self._parts.outcomes.end()
            self._metrics.set(CANARY_SERIAL, 0)

    def look(self) -> Verdict:
        """Looks once, and takes down a canary that broke a rule."""
        route, parts = self._route, self._parts
        if route is None:
            return Verdict()
        try:
            parts.responses.catch_up(parts.outcomes.responded)
        except StepwellError as error:
            _log.warning("responses cannot be read", error=str(error))
        live, canary = parts.outcomes.arms()
        self._metrics.set(CANARY_ANSWERS, canary.num_answers)
        found = verdict(live, canary, self._limits)
        if not found.is_ok:
            self._take_down(route, found)
        return found

    def close(self) -> None:
        """Ends the thread."""
        self._closing = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join()

    def _restart(self) -> None:
        """The caller holds the lock."""
        if self._route is None:
            self._parts.outcomes.end()
            return
        try:
            self._parts.responses.begin()
        except StepwellError as error:
            _log.warning("responses cannot be read yet", error=str(error))
        self._parts.outcomes.begin(self._route.serial)
        self._changed.set()

    def _take_down(self, route: CanaryRoute, found: Verdict) -> None:
        if not self._parts.rollouts.veto(route.serial, found.reason, found.evidence):
            return  # it is gone already
        self._metrics.add(CANARY_ROLLBACKS, found.reason)
        self._parts.audit.write(
            AuditEntry(
                action="CanaryRollback",
                who="guardrails",
                before={"canary": route.serial, "share_ppm": route.share_ppm},
                after={"canary": None},
                reason=f"{found.reason}: {found.evidence}",
            )
        )

    def _work(self) -> None:
        while not self._closing:
            # Without a canary it sleeps until there is one.
            pause_s = self._look_seconds if self._route is not None else None
            if self._changed.wait(pause_s):
                self._changed.clear()
                continue
            try:
                self.look()
            except Exception:  # noqa: BLE001 - a watch that ends guards nobody
                _log.exception("the canary could not be looked at")
