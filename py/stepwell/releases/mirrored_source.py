"""A far registry as a source: its pages now, its releases once they are here."""

import threading
import time
from collections.abc import Callable

import structlog

from stepwell.base.errors import StepwellError
from stepwell.releases.refusals import Refusals
from stepwell.releases.registry_mirror import RegistryMirror
from stepwell.releases.source import DirectorySource, RegistryState, ReleaseVersion

_log = structlog.get_logger(__name__)


def in_thread(work: Callable[[], None]) -> None:
    """Runs `work` in a thread that does not keep the process from ending."""
    threading.Thread(target=work, name="registry-mirror", daemon=True).start()


class MirroredSource:
    """What a mirror has, and a hand that fetches what it lacks.

    A look costs a few small reads over the network and never waits for a release that
    is being fetched: a rollback to one that is here goes on meanwhile. A registry that
    cannot be reached leaves what is here in force, and says so once. A release that
    cannot be fetched keeps no other one away; it is tried again after a pause that
    doubles each time, or when it is published again.

    Args:
        mirror: of the far registry.
        run: has the fetching done, elsewhere.
        monotonic: seconds, for the pauses.

    Concurrency: `versions` from any thread, `state` from one at a time.
    """

    def __init__(
        self,
        mirror: RegistryMirror,
        run: Callable[[Callable[[], None]], None] = in_thread,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mirror = mirror
        self._local = DirectorySource(mirror.folder, mirror.key)
        self._run = run
        self._fetching = threading.Lock()
        # Whatever went wrong may be gone at the next look: somebody mends the bucket.
        self._refusals = Refusals(monotonic, mirror.manifest_digest, (Exception,))
        self._problems: dict[str, str] = {}

    def versions(self) -> tuple[ReleaseVersion, ...]:
        """Returns the releases that are here, oldest serial first."""
        return self._local.versions()

    def state(self) -> RegistryState:
        """Takes the pages over and has what they want fetched; returns what is here."""
        if self._tried("pages", self._mirror.refresh):
            self._fetch_missing()
        return self._local.state()

    def _fetch_missing(self) -> None:
        if not self._fetching.acquire(blocking=False):
            return
        self._run(self._fetch_all)

    def _fetch_all(self) -> None:
        try:
            self._tried("releases", self._fetch)
        finally:
            self._fetching.release()

    def _fetch(self) -> None:
        missing = self._mirror.missing()
        paused = self._refusals.standing(missing)
        for version in missing:
            if version.serial not in paused:
                self._fetch_one(version)
        self._mirror.forget()

    def _fetch_one(self, version: ReleaseVersion) -> None:
        try:
            self._mirror.fetch(version.serial)
        except Exception as error:  # noqa: BLE001 - drivers' errors have no common base
            reason, _ = self._refusals.add(version, error)
            _log.warning("release not fetched", serial=version.serial, reason=reason)
        else:
            _log.info("release fetched", serial=version.serial)

    def _tried(self, part: str, work: Callable[[], None]) -> bool:
        problem = ""
        try:
            work()
        except (StepwellError, OSError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - drivers' errors have no common base
            problem = repr(error)
        if problem and problem != self._problems.get(part):
            _log.warning("the far registry cannot be used", part=part, reason=problem)
        self._problems[part] = problem
        return not problem
