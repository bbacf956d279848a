"""Everything of a ranker that is there for a canary, in its place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stepwell.base.clock import Clock
from stepwell.base.metrics import Metrics
from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.manager import Manager
from stepwell.serving.audit_log import AuditLog
from stepwell.serving.canary_trial import CanaryTrial
from stepwell.serving.canary_watch import LOOK_SECONDS, CanaryWatch, WatchParts
from stepwell.serving.engine import Engine
from stepwell.serving.release_outcomes import ReleaseOutcomes
from stepwell.serving.response_reader import ResponseReader
from stepwell.serving.shadow import ShadowParts, ShadowRuns
from stepwell.serving.shadow_log import ShadowLog
from stepwell.stores.event_log import EventLog


@dataclass(frozen=True, slots=True)
class CanaryParts:
    """What a canary's side stands on.

    Attributes:
        event_log: tells what users responded to.
        audit: gets a line of each canary that guardrails took down.
        shadow_log: file of what shadows made of requests; None keeps none.
        is_idle: no call waits and no worker has one in hand.
        look_seconds: pause between looks at a canary's answers.
    """

    event_log: EventLog
    audit: AuditLog
    shadow_log: Path | None
    is_idle: Callable[[], bool]
    look_seconds: float = LOOK_SECONDS


class CanarySide:
    """Follows the manager's canary: compares it with live, or runs it in shadow.

    Concurrency: thread-safe. It costs nothing until the first canary.
    """

    def __init__(
        self,
        manager: Manager[Engine],
        parts: CanaryParts,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.outcomes = outcomes = ReleaseOutcomes()
        self._shadow = ShadowRuns(
            ShadowParts(
                manager.borrow_serial, parts.is_idle, ShadowLog(parts.shadow_log).write
            ),
            clock,
            metrics,
        )
        self._watch = CanaryWatch(
            WatchParts(manager, outcomes, ResponseReader(parts.event_log), parts.audit),
            metrics,
            look_seconds=parts.look_seconds,
        )
        self.trial = CanaryTrial(manager, outcomes, self._shadow, metrics)

    def start(self) -> None:
        """Starts the threads; they sleep while there is nothing to do."""
        self._watch.start()
        self._shadow.start()

    def on_trial(self, route: CanaryRoute) -> None:
        """Follows another canary, or another share, from its first request on."""
        self._watch.begin(route)

    def on_trial_end(self, serial: int) -> None:
        """Follows this canary no more."""
        self._watch.end(serial)

    def on_live(self) -> None:
        """Compares with the release that is live now."""
        self._watch.restart()

    def close(self) -> None:
        """Ends the threads."""
        self._watch.close()
        self._shadow.close()
