"""Repeats the requests of an event log, each on the release that answered it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from registry_release import complete_release
from stepwell.base.clock import SystemClock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    StepwellError,
)
from stepwell.feedback.logged_events import (
    IMPRESSION_PREFIX,
    OnProgress,
    decoded,
    impression_lines,
)
from stepwell.releases.manifest import serial_of
from stepwell.serving.engine_builder import EngineOptions
from stepwell.serving.replay import Replayed, Replayer
from stepwell.stores.event_log import EventLog, StoredEvent
from stepwell_pb.v1 import feedback_pb2

_MAX_KEPT = 20


@dataclass(slots=True)
class ReplayReport:
    """What became of many requests.

    Attributes:
        num_same: requests that came out the same to the bit.
        num_different: that did not.
        num_features: values of features that were compared.
        not_replayed: why -> how many; none of them says anything of the others.
        different: the first ones that differ.
    """

    num_same: int = 0
    num_different: int = 0
    num_features: int = 0
    not_replayed: Counter[str] = field(default_factory=Counter)
    different: list[Replayed] = field(default_factory=list)

    @property
    def num_replayed(self) -> int:
        """Requests that were computed again."""
        return self.num_same + self.num_different

    def add(self, replayed: Replayed) -> None:
        """Counts one request."""
        self.num_features += replayed.num_features
        if replayed.is_same:
            self.num_same += 1
            return
        self.num_different += 1
        if len(self.different) < _MAX_KEPT:
            self.different.append(replayed)


class Releases:
    """The releases of a registry, each loaded when the first request of it comes.

    Concurrency: one thread.
    """

    def __init__(self, registry: Path, options: EngineOptions) -> None:
        self._registry = registry
        self._options = options
        self._loaded: dict[str, Replayer] = {}

    def replayer(self, release_id: str) -> Replayer:
        """Returns the replayer of a release.

        Raises:
            NotFoundError: the registry has it no more.
            StepwellError: it does not verify, or cannot be served.
        """
        if release_id not in self._loaded:
            serial = serial_of(release_id)
            if serial is None:
                raise NotFoundError(f"{release_id!r} is the name of no release")
            directory, manifest = complete_release(self._registry, serial)
            self._loaded[release_id] = Replayer.of_release(
                directory, manifest, SystemClock(), self._options
            )
        return self._loaded[release_id]


def replay_log(
    log: EventLog,
    releases: Releases,
    limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> ReplayReport:
    """Repeats the requests that were logged with all that they read, oldest first.

    Args:
        limit: requests at most; None takes all.
        on_progress: told how many lines of the log are done, of how many.
    """
    report = ReplayReport()
    for line in impression_lines(log, on_progress):
        impression = _impression_in(line)
        if not impression.HasField("replay"):
            continue
        try:
            report.add(releases.replayer(impression.release_id).replay(impression))
        except StepwellError as error:
            report.not_replayed[_kind(error)] += 1
        if limit is not None and report.num_replayed >= limit:
            break
    return report


def replay_one(log: EventLog, releases: Releases, request_id: str) -> Replayed:
    """Repeats one request.

    Raises:
        NotFoundError: the log has no impression of it.
        StepwellError: it cannot be repeated.
    """
    wanted = IMPRESSION_PREFIX + request_id
    for line in impression_lines(log):
        if line.event_id == wanted:
            impression = _impression_in(line)
            return releases.replayer(impression.release_id).replay(impression)
    raise NotFoundError(f"the log has no impression of request {request_id}")


def _impression_in(line: StoredEvent) -> feedback_pb2.Impression:
    impression = decoded(line).event
    if not isinstance(impression, feedback_pb2.Impression):
        raise DataLossError(f"event {line.offset} has the id of an impression, only")
    return impression


def _kind(error: StepwellError) -> str:
    """A reason without the request's name, so that the same ones are counted once."""
    if isinstance(error, NotFoundError):
        return "the release is gone from the registry"
    if isinstance(error, FailedPreconditionError):
        return "not all that it read was logged"
    return f"{type(error).__name__}: {error}"
