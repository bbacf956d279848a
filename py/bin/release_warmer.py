"""Has a release verified and prepared by a child process, before this one opens it."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from stepwell.base.errors import (
    CancelledError,
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    StepwellError,
    UnavailableError,
)
from stepwell.base.thread_rank import give_way
from stepwell.releases.manifest import Manifest, parse_manifest
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.verification import (
    read_manifest,
    verified_manifest,
    verify_release,
)
from stepwell.releases.verified_records import VerifiedRecords, identity_of

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import release_warmer_main  # noqa: F401

_SCRIPT = Path(__file__).with_name("release_warmer_main.py")
_log = structlog.get_logger(__name__)
_IDLE_SECONDS, _IDLE_SECONDS_A_GB = 20.0, 60.0
"""How long the child may do with what nobody else wants of the processor: where all of
it is wanted, a release must come in time all the same."""
_PATIENCE_SECONDS = 600.0
_TURN_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_RUN_SECONDS, _REST_SECONDS = 0.01, 0.02
"""In turns for the child: the last rank alone still costs callers the caches, the
memory's bandwidth and what the kernel does for it in one piece."""
_REFUSALS: Mapping[str, type[StepwellError]] = {
    error.code: error
    for error in (DataLossError, FailedPreconditionError, NotFoundError)
}


class ReleaseWarmer:
    """Verifies releases for a Loader; the first one here, the others in a child.

    Before the first one is live nobody is answered, and a child would only cost its
    start. Later every byte is read and hashed, and the ranker packed, where the
    interpreter's lock is another one and the processor's share the smallest.

    Args:
        key: that the releases are trusted by.
        flags: more flags of release_warmer_main.
        folder: of what servers of this user tell each other; made when missing.

    Concurrency: one thread.
    """

    def __init__(self, key: VerifyingKey, flags: Sequence[str], folder: Path) -> None:
        self._flags = [f"--key={key.pem().decode()}", *flags]
        self._folder = folder
        self._records = VerifiedRecords(folder / "verified")
        self._serves = False
        self._closing = threading.Event()

    def close(self) -> None:
        """Ends the child at work, and every wait for a turn, from any thread."""
        self._closing.set()

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
        flags = [
            f"--directory={directory}",
            f"--parent_pid={os.getpid()}",
            *self._flags,
        ]
        size_gb = parse_manifest(read_manifest(directory)).total_bytes / 1e9
        line = self._run(flags, _IDLE_SECONDS + size_gb * _IDLE_SECONDS_A_GB)
        if line is None:
            _log.info("no idle processor to read a release", directory=str(directory))
            line = self._run(flags, _PATIENCE_SECONDS, wholly=False)
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

    def _run(
        self, flags: Sequence[str], patience_seconds: float, *, wholly: bool = True
    ) -> str | None:
        """Returns the child's verdict; None when it needs longer, and is gone.

        Args:
            flags: of release_warmer_main.
            patience_seconds: for all of it.
            wholly: it gives way to everything, as in `give_way`.
        """
        child = subprocess.Popen(
            [sys.executable, str(_SCRIPT), *flags],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            # From its first instruction: its imports alone are half a second.
            give_way(child.pid, wholly=wholly)
            self._let_run(child, time.monotonic() + patience_seconds)
            late = child.poll() is None
            if late:
                child.kill()
            lines, _ = child.communicate()
        if self._closing.is_set():
            raise CancelledError("this server ends")
        if late:
            return None
        if child.returncode != 0 or not lines:
            raise UnavailableError(f"who reads releases ended with {child.returncode}")
        return str(lines.splitlines()[-1])

    def _let_run(self, child: "subprocess.Popen[str]", until: float) -> None:
        """Stops and wakes the child in turns; returns when it ended or time is up."""
        assert child.stdout is not None
        may_rest = False
        while child.poll() is None and time.monotonic() < until:
            if self._closing.wait(_RUN_SECONDS):
                return
            # Before it says so it would stay stopped if this process died.
            may_rest = may_rest or bool(select.select([child.stdout], [], [], 0)[0])
            if may_rest:
                child.send_signal(signal.SIGSTOP)
                self._closing.wait(_REST_SECONDS)
                child.send_signal(signal.SIGCONT)
