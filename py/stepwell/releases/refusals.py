"""Releases that would not come or load, and when one of them is tried again."""

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepwell.base.errors import (
    DeadlineExceededError,
    ResourceExhaustedError,
    StepwellError,
    UnavailableError,
)
from stepwell.releases.source import ReleaseVersion
from stepwell.releases.verification import read_manifest

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0
_MACHINES_OWN: tuple[type[Exception], ...] = (
    OSError,
    ResourceExhaustedError,
    DeadlineExceededError,
    UnavailableError,
)
"""Errors of this machine at this time; another look may find the same files good."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    manifest_sha256: str | None
    num_attempts: int
    retry_at: float | None


def _manifest_digest(version: ReleaseVersion) -> str | None:
    try:
        return hashlib.sha256(read_manifest(version.directory)).hexdigest()
    except (StepwellError, OSError):
        return None


class Refusals:
    """Remembers by serial and manifest: what is published again is tried again.

    A release found bad stays refused. One whose load broke down, for want of memory or
    a process that died, is tried again after a pause that doubles each time.

    Args:
        monotonic: seconds.
        manifest_digest: SHA-256 of a release's manifest, None where it has none.
        passing: errors that may be gone next time.

    Concurrency: thread-safe.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        manifest_digest: Callable[[ReleaseVersion], str | None] = _manifest_digest,
        passing: tuple[type[Exception], ...] = _MACHINES_OWN,
    ) -> None:
        self._monotonic = monotonic
        self._digest = manifest_digest
        self._passing = passing
        self._lock = threading.Lock()
        self._by_serial: dict[int, _Refusal] = {}

    def add(self, version: ReleaseVersion, error: Exception) -> tuple[str, bool]:
        """Takes note of a failure.

        Returns:
            The reason, as an operator reads it, and whether it is final.
        """
        digest = self._digest(version)
        with self._lock:
            return self._added(version.serial, digest, error)

    def _added(
        self, serial: int, digest: str | None, error: Exception
    ) -> tuple[str, bool]:
        before = self._by_serial.get(serial)
        again = before is not None and before.manifest_sha256 == digest
        attempts = before.num_attempts + 1 if again and before is not None else 1
        if not isinstance(error, self._passing):
            self._by_serial[serial] = _Refusal(digest, attempts, None)
            return str(error), True
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
        retry_at = self._monotonic() + pause
        self._by_serial[serial] = _Refusal(digest, attempts, retry_at)
        return f"{error} (attempt {attempts}, tried again in {pause:g} s)", False

    def standing(self, versions: Iterable[ReleaseVersion]) -> frozenset[int]:
        """Returns the serials not to be loaded now; forgets what is not there any more.

        Cost: one read of a manifest for each refused release.
        """
        present = {version.serial: version for version in versions}
        with self._lock:
            kept = {s: r for s, r in self._by_serial.items() if s in present}
            self._by_serial = dict(kept)
        return frozenset(
            serial
            for serial, refusal in kept.items()
            if self._stands(refusal, present[serial])
        )

    def _stands(self, refusal: _Refusal, version: ReleaseVersion) -> bool:
        if refusal.manifest_sha256 != self._digest(version):
            return False
        return refusal.retry_at is None or self._monotonic() < refusal.retry_at
