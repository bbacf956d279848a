"""Which release answers a request while a canary is tried, and who is told."""

from typing import Protocol

import structlog

from stepwell.base.errors import StepwellError, is_callers_own
from stepwell.base.metric_names import CANARY_RETRIES
from stepwell.base.metrics import Metrics
from stepwell.degradation.tier import Tier
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.handle import Release, ReleaseHandle
from stepwell.serving.call import Call
from stepwell.serving.engine import Engine
from stepwell.serving.release_outcomes import ReleaseOutcomes
from stepwell.serving.shadow import ShadowRuns
from stepwell.serving.shadow_log import RankedBy

_log = structlog.get_logger(__name__)

_SMALL_SHARE_PPM = 100_000


class CanaryFailedError(StepwellError):
    """A small canary failed, too late for live to answer in its place.

    It says nothing of what answers cost. `code` is the canary's where it gave one.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__("the canary failed, and no time was left for the live release")
        self.code = cause.code if isinstance(cause, StepwellError) else self.code


class Lender(Protocol):
    """The manager, as answers see it."""

    def borrow(self, user_id: str | None = None) -> ReleaseHandle[Engine]:
        """Returns a handle of the user's release."""
        ...

    def borrow_live(self) -> ReleaseHandle[Engine]:
        """Returns a handle of the live release."""
        ...

    @property
    def canary(self) -> CanaryRoute | None:
        """The route in force."""
        ...

    @property
    def live_serial(self) -> int | None:
        """Serial of the live release."""
        ...


class CanaryTrial:
    """Lends the user's release, and takes note of how it did.

    Args:
        lender: of releases.
        outcomes: counts while there is a canary.
        shadow: is offered requests while the canary is a shadow.
        metrics: requests that live answered in the canary's place.

    Concurrency: thread-safe. Cost: without a canary below 0.5 us a request.
    """

    def __init__(
        self,
        lender: Lender,
        outcomes: ReleaseOutcomes,
        shadow: ShadowRuns,
        metrics: Metrics,
    ) -> None:
        self._lender = lender
        self._outcomes = outcomes
        self._shadow = shadow
        self._metrics = metrics

    def borrow(self, user_id: str) -> ReleaseHandle[Engine]:
        """Returns the user's release; FailedPreconditionError when none is live."""
        return self._lender.borrow(user_id)

    def borrow_live(self) -> ReleaseHandle[Engine]:
        """Returns the live release, for a request that the canary failed."""
        self._metrics.add(CANARY_RETRIES)
        return self._lender.borrow_live()

    def answered(
        self,
        release: Release[Engine],
        call: Call,
        query: Query,
        slate: Slate,
        decided: Tier,
    ) -> bool:
        """Takes note of a release's answer, whose tier was `decided`.

        Returns:
            Whether the ladder may learn from it what tiers cost.
        """
        route, serial = self._lender.canary, release.manifest.serial
        if route is not None and not route.is_shadow:
            self._outcomes.answered(serial, query, slate, decided)
        elif route is not None:
            if slate.tier > Tier.POPULAR and route.takes(query.user_id):
                live = RankedBy.of(release.content, slate)
                self._shadow.offer(route.serial, call, query, live)
        return self._teaches(serial)

    def is_retried(self, serial: int, error: Exception) -> bool:
        """Whether live should answer where the release `serial` failed.

        Also once the trial is over: requests of its last moment are still under way.
        """
        return serial != self._lender.live_serial and not is_callers_own(error)

    def failed(self, serial: int, error: Exception) -> bool:
        """Takes note of a release's error; one of the caller's says nothing of it.

        Returns:
            As `answered`.
        """
        if is_callers_own(error):
            return True
        if serial != self._lender.live_serial:
            _log.warning("the canary failed", serial=serial, error=repr(error))
        self._outcomes.failed(serial)
        return self._teaches(serial)

    def _teaches(self, serial: int) -> bool:
        """The few answers of a small canary must not move anybody else's tier.

        Nor those of one whose trial is over while they are under way.
        """
        if serial == self._lender.live_serial:
            return True
        route = self._lender.canary
        if route is None or serial != route.serial:
            return False
        return route.share_ppm > _SMALL_SHARE_PPM
