"""Has a release verified and prepared by a child process, before this one opens it."""

import fcntl
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from release_child import ReleaseChild
from stepwell.base.errors import (
    CancelledError,
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    StepwellError,
    UnavailableError,
)
from stepwell.releases.manifest import Manifest, parse_manifest
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.verification import (
    read_manifest,
    verified_manifest,
    verify_release,
)
from stepwell.releases.verified_records import VerifiedRecords, identity_of

_log = structlog.get_logger(__name__)
_IDLE_SECONDS, _IDLE_SECONDS_A_GB = 20.0, 60.0
"""How long the child may do with what nobody else wants of the processor: where all of
it is wanted, a release must come in time all the same."""
_PATIENCE_SECONDS = 600.0
_TURN_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_REFUSALS: Mapping[str, type[StepwellError]] = {
    error.code: error
    for error in (DataLossError, FailedPreconditionError, NotFoundError)
}


class ReleaseWarmer:
    """Verifies releases for a Loader; the first one here, the others in a child.

    Before the first one is live nobody is answered, and a child would only cost its
    start. Later every byte is read and hashed, and the ranker packed, where the
    interpreter's lock is another one and the processor's share the smallest; the child
    waits for that from then on.

    Args:
        key: that the releases are trusted by.
        flags: more flags of release_warmer_main.
        folder: of what servers of this user tell each other; made when missing.

    Concurrency: one thread, which lives as long as a child is wanted; `close` from any.
    """

    def __init__(self, key: VerifyingKey, flags: Sequence[str], folder: Path) -> None:
        self._flags = [f"--key={key.pem().decode()}", *flags]
        self._folder = folder
        self._records = VerifiedRecords(folder / "verified")
        self._serves = False
        self._closing = threading.Event()
        self._kept: ReleaseChild | None = None
        self._children: set[ReleaseChild] = set()
        self._children_lock = threading.Lock()

    def close(self) -> None:
        """Ends the children, and every wait for a turn, from any thread."""
        with self._children_lock:
            self._closing.set()
            for child in self._children:
                child.close()

    def verify(self, directory: Path, key: VerifyingKey) -> Manifest:
        """Returns the manifest of a release that is whole and ours.

        Raises:
            StepwellError: as verify_release, whoever found it.
            UnavailableError: the child ended without a verdict.
        """
        if not self._serves:
            return verify_release(directory, key)
        if not self._records.has(identity_of(directory)):
            self._verify_in_child(directory)
        # A record is of the files' bytes; who left it may have another key and version.
        return verified_manifest(directory, key)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until no other server of this user loads; not for the first release."""
        if not self._serves:
            yield
            self._serves = True
            self._keep_a_child()
            return
        with ExitStack() as held:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                path = self._folder / "loading.lock"
                file = held.enter_context(path.open("ab"))
            except OSError as error:
                _log.info("servers load whenever they like", reason=str(error))
            else:
                self._take_turn(file.fileno())
            yield

    def _take_turn(self, descriptor: int) -> None:
        """Takes the lock; after a minute goes on without it: a release must load."""
        until = time.monotonic() + _TURN_PATIENCE_SECONDS
        while time.monotonic() < until and not self._closing.wait(_LOOK_SECONDS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return

    def _verify_in_child(self, directory: Path) -> None:
        size_gb = parse_manifest(read_manifest(directory)).total_bytes / 1e9
        line = self._idle_verdict(
            directory, _IDLE_SECONDS + size_gb * _IDLE_SECONDS_A_GB
        )
        if line is None:
            _log.info("no idle processor to read a release", directory=str(directory))
            line = self._eager_verdict(directory)
        if line is None:
            raise UnavailableError(f"{directory} could not be read in time")
        verdict = json.loads(line)
        if error := verdict.get("error"):
            raise _REFUSALS.get(error, UnavailableError)(verdict["reason"])
        if verdict["identity"] != identity_of(directory):
            raise UnavailableError(f"{directory} changed after it was read")
        try:
            self._records.add(verdict["identity"])
        except OSError as error:
            _log.info("other servers read the release too", reason=str(error))

    def _idle_verdict(self, directory: Path, patience_seconds: float) -> bytes | None:
        """Asks the child that is kept, None when it needs longer."""
        kept = self._kept
        if kept is not None and not kept.is_alive:
            self._end(kept)
            kept = None
        if kept is None:
            kept = self._kept = self._new_child(wholly=True)
        line = self._asked(kept, directory, patience_seconds)
        if line is None:
            self._end(kept)
        return line

    def _eager_verdict(self, directory: Path) -> bytes | None:
        """Asks a child that gets a share of a busy processor, for this once."""
        child = self._new_child(wholly=False)
        try:
            return self._asked(child, directory, _PATIENCE_SECONDS)
        finally:
            self._end(child)
            self._keep_a_child()

    def _asked(
        self, child: ReleaseChild, directory: Path, patience_seconds: float
    ) -> bytes | None:
        try:
            return child.read(directory, patience_seconds)
        except UnavailableError:
            self._end(child)
            if self._closing.is_set():
                raise CancelledError("this server ends") from None
            raise

    def _keep_a_child(self) -> None:
        """Has one ready for the next release; without it that only takes longer."""
        try:
            self._kept = self._new_child(wholly=True)
        except (OSError, CancelledError) as error:
            _log.info("nobody waits to read a release", reason=str(error))

    def _new_child(self, *, wholly: bool) -> ReleaseChild:
        with self._children_lock:
            if self._closing.is_set():
                raise CancelledError("this server ends")
            child = ReleaseChild(self._flags, wholly=wholly)
            self._children.add(child)
        return child

    def _end(self, child: ReleaseChild) -> None:
        with self._children_lock:
            self._children.discard(child)
        child.close()
