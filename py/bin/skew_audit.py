"""Compares what was served with what the log and the training say it should have been.

The features' room and the feedback's do not know each other; here the two meet.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from skew_release import AuditedRelease
from stepwell.base.errors import FailedPreconditionError
from stepwell.features.skew import SkewTable
from stepwell.feedback.items_as_of_log import ItemsAsOfLog
from stepwell.feedback.logged_events import check_whole
from stepwell.feedback.rows_as_of_log import (
    AsOfLog,
    RowsAsOfLog,
    Sample,
    ShownLine,
    impressions,
)
from stepwell.feedback.served_request import ReplayInputs, ServedFeatures
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import ITEM_ACTIVITY, USER_HISTORY, USER_VIEWS
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.history_row import history_of_row
from stepwell.stores.event_log import EventLog

OnProgress = Callable[[str, int, int], None]
"""Told a phase, lines of the log done and lines in all."""

Dense = npt.NDArray[np.float32]
_ItemRows = npt.NDArray[Any]
_VIEWS = {view.name: view for view in USER_VIEWS}


@dataclass(slots=True)
class ViewFacts:
    """What became of one view's rows.

    Attributes:
        num_served: rows that were used.
        num_different: of them, not the bytes of the log's state of the same time.
        num_unknown: of those, rows of a time at which the log has no state.
        num_defaulted: requests for which the default or a baseline stood in.
        num_known: of those, the log had a row: stale, or read in vain.
        num_behind: rows that lacked an event of the log at the impression.
        ages: seconds from a row's newest event to the request.
        lags_us: of the rows behind, since when.
    """

    num_served: int = 0
    num_different: int = 0
    num_unknown: int = 0
    num_defaulted: int = 0
    num_known: int = 0
    num_behind: int = 0
    ages: list[int] = field(default_factory=list)
    lags_us: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Shift:
    """Served features against those of training.

    Attributes:
        psi: by feature, the greatest first.
        num_requests: whose shown items they are.
        num_other_schema: requests left out, of another catalogue.
        noise: the index to be expected where nothing has changed.
        refused: why there is none; "" where there is.
    """

    psi: dict[str, float] = field(default_factory=dict)
    num_requests: int = 0
    num_other_schema: int = 0
    noise: float = 0.0
    refused: str = ""


@dataclass(slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        release_id: whose answers were looked at.
        num_impressions: of the log; num_other_releases of them are left out.
        num_replayable: of the release, that keep what they read.
        num_sampled: of those, looked at.
        refused: why nothing was recomputed; "" where it was.
        views: by name.
        rows: rows as served against the log's states of the same time.
        vectors: shown items' features against those of the log's state at the
            impression: what an updater that lags costs is in them.
        num_vectors, num_vectors_different: shown items with one or more differences.
        num_unexplained: of those, items of requests whose rows lagged behind nothing.
        shift: against training.
    """

    release_id: str
    num_impressions: int = 0
    num_other_releases: int = 0
    num_replayable: int = 0
    num_sampled: int = 0
    refused: str = ""
    views: dict[str, ViewFacts] = field(default_factory=dict)
    rows: SkewTable = field(default_factory=SkewTable)
    vectors: SkewTable = field(default_factory=SkewTable)
    num_vectors: int = 0
    num_vectors_different: int = 0
    num_unexplained: int = 0
    shift: Shift = field(default_factory=Shift)

    @property
    def is_clean(self) -> bool:
        """Everything was recomputed, and nothing differs but by the updater's lag."""
        differs = self.rows.different or self.num_unexplained
        unknown = any(view.num_unknown for view in self.views.values())
        return not (self.refused or differs or unknown)


@dataclass(frozen=True, slots=True)
class _Items:
    """Rows of the candidates: as of what the request had, and of the impression."""

    at_request: _ItemRows
    at_impression: _ItemRows


class SkewAudit:
    """An audit of one release's answers in one log.

    Args:
        log: of events; only read.
        release: what the features are recomputed with.
        state: what the online store began with; None where it began empty.
        history_types: events that enter histories.
        size: impressions at most, of each of two samples.

    Concurrency: one thread; a server may go on meanwhile.
    Cost: three passes over the log, of which one decodes the impressions.
    """

    def __init__(
        self,
        log: EventLog,
        release: AuditedRelease,
        state: UserStateFile | None,
        history_types: Collection[EventType],
        size: int,
    ) -> None:
        self._event_log = log
        self._release = release
        self._rows = RowsAsOfLog(log, state, history_types)
        self._size = size
        self._report = AuditReport(release.release_id)

    def run(self, on_progress: OnProgress) -> AuditReport:
        """Reads, recomputes and compares.

        Raises:
            DataLossError: a line or a file is damaged.
        """
        replayable, served = self._samples(on_progress)
        report = self._report
        report.num_replayable = replayable.num_offered
        report.num_sampled = len(replayable.lines)
        report.shift = self._shift(served.lines)
        try:
            check_whole(self._event_log)
            if not replayable.lines:
                raise FailedPreconditionError(
                    "no impression keeps what it read: serve with --replayable_share"
                )
        except FailedPreconditionError as error:
            report.refused = str(error)
            return report
        self._recompute(replayable.lines, on_progress)
        return report

    def _samples(self, on_progress: OnProgress) -> tuple[Sample, Sample]:
        replayable, served = Sample(self._size), Sample(self._size)

        def reading(done: int, total: int) -> None:
            on_progress("reading", done, total)

        for line in impressions(self._event_log, reading):
            self._report.num_impressions += 1
            if line.impression.release_id != self._release.release_id:
                self._report.num_other_releases += 1
                continue
            if line.impression.HasField("replay"):
                replayable.offer(line)
            if line.impression.HasField("served"):
                served.offer(line)
        return replayable, served

    def _shift(self, lines: Sequence[ShownLine]) -> Shift:
        profile = self._release.profile
        if profile is None:
            return Shift(refused="the release keeps no profile: train again")
        of_lines = [ServedFeatures.of(line.impression) for line in lines]
        found = [served for served in of_lines if served is not None]
        expected = bytes.fromhex(profile.schema_hash)
        fitting = [s.dense for s in found if s.schema_hash == expected]
        shift = Shift(num_other_schema=len(found) - len(fitting))
        dense = [rows[~np.isnan(rows).any(axis=1)] for rows in fitting]
        dense = [rows for rows in dense if len(rows)]
        if not dense:
            shift.refused = "no impression keeps features of the release's catalogue"
            return shift
        psi = profile.psi(np.concatenate(dense)).tolist()
        pairs = sorted(zip(profile.names, psi, strict=True), key=lambda p: -p[1])
        shift.psi = dict(pairs)
        shift.num_requests = len(dense)
        shift.noise = profile.noise(len(dense))
        return shift

    def _recompute(self, lines: Sequence[ShownLine], on_progress: OnProgress) -> None:
        items = self._items(lines)

        def folding(done: int, total: int) -> None:
            on_progress("folding", done, total)

        for line, found in self._rows.each(lines, folding):
            for view, as_of in found.items():
                self._compare_row(line, view, as_of)
            self._compare_items(line, items.get(line.offset))
            self._compare_vectors(line, found, items.get(line.offset))

    def _items(self, lines: Sequence[ShownLine]) -> dict[int, _Items]:
        """The candidates' rows of each impression, by its offset."""
        base = self._release.item_base
        if base is None:
            return {}
        as_of = ItemsAsOfLog(self._event_log, self._release.vocabulary, base)
        asked: list[tuple[int, int, npt.NDArray[np.int64]]] = []
        for line in lines:
            inputs = _inputs(line)
            asked.append((line.offset, line.offset, inputs.candidates.rows))
            if inputs.item_state:
                at = min(inputs.item_state_offset, line.offset)
                asked.append((at, line.offset, inputs.candidates.rows))
        rows: dict[int, list[_ItemRows]] = {}
        for at, key, candidates in sorted(asked, key=lambda entry: entry[:2]):
            rows.setdefault(key, []).append(as_of.rows_at(at)[candidates])
        return {key: _Items(found[0], found[-1]) for key, found in rows.items()}

    def _compare_row(self, line: ShownLine, view: str, as_of: AsOfLog) -> None:
        facts = self._report.views.setdefault(view, ViewFacts())
        served = _served_row(line, view)
        if served is None or _is_stand_in(served, as_of):
            facts.num_defaulted += 1
            facts.num_known += (
                as_of.newest is not None and as_of.newest.event_timestamp > 0
            )
            return
        facts.num_served += 1
        if served.event_timestamp:
            now = line.impression.event_time_seconds
            facts.ages.append(max(now - served.event_timestamp, 0))
        facts.num_behind += as_of.num_unseen > 0
        if as_of.num_unseen:
            facts.lags_us.append(as_of.lag_us)
        facts.num_unknown += as_of.row is None
        expected = as_of.row or as_of.newest
        if expected is None or expected.pack() != served.pack():
            facts.num_different += 1
        if expected is not None:
            self._report.rows.add_row(served, expected)

    def _compare_items(self, line: ShownLine, items: _Items | None) -> None:
        inputs = _inputs(line)
        if items is None or not inputs.item_state:
            return
        name = ITEM_ACTIVITY.name
        facts = self._report.views.setdefault(name, ViewFacts())
        served = np.frombuffer(inputs.item_state, ITEM_ACTIVITY.row_dtype)
        again = items.at_request
        facts.num_served += len(served)
        facts.num_different += int((served != again).sum())
        facts.num_behind += int((again != items.at_impression).sum())
        self._report.rows.add_rows(name, served, again)
        last = np.maximum(served["click_last_time"], served["purchase_last_time"])
        age = line.impression.event_time_seconds - last[last > 0]
        facts.ages += np.maximum(age, 0).tolist()

    def _compare_vectors(
        self, line: ShownLine, found: dict[str, AsOfLog], items: _Items | None
    ) -> None:
        served = ServedFeatures.of(line.impression)
        if served is None or served.schema_hash != self._release.schema_hash:
            return
        again = self._release.dense(
            line.impression,
            _inputs(line).candidates,
            [(view, _row_again(line, view, as_of)) for view, as_of in found.items()],
            None if items is None else items.at_impression,
        )
        scored = ~np.isnan(served.dense).any(axis=1)
        one, other = served.dense[scored], again[scored]
        different = int((one != other).any(axis=1).sum())
        report = self._report
        report.vectors.add_dense(self._release.dense_names, one, other)
        report.num_vectors += len(one)
        report.num_vectors_different += different
        if not _lagged(line, found, items):
            report.num_unexplained += different


def _inputs(line: ShownLine) -> ReplayInputs:
    inputs = ReplayInputs.of(line.impression)
    assert inputs is not None  # only such lines are sampled
    return inputs


def _served_row(line: ShownLine, view: str) -> FeatureRow | None:
    for row in line.impression.replay.rows:
        if row.view == view and row.HasField("row"):
            return FeatureRow.unpack(_VIEWS[view], row.row)
    return None


def _is_stand_in(served: FeatureRow, as_of: AsOfLog) -> bool:
    """An empty history that carries the segment of one that was too old."""
    if served.view.name != USER_HISTORY.name or as_of.newest is None:
        return False
    is_empty = not history_of_row(served.pack()).num_events
    return is_empty and as_of.row is None


def _row_again(line: ShownLine, view: str, as_of: AsOfLog) -> bytes | None:
    """The row of the impression's offset; what was a default stays one."""
    served = _served_row(line, view)
    if served is None or _is_stand_in(served, as_of):
        return None if served is None else served.pack()
    return None if as_of.newest is None else as_of.newest.pack()


def _lagged(line: ShownLine, found: dict[str, AsOfLog], items: _Items | None) -> bool:
    if any(as_of.num_unseen for as_of in found.values()):
        return True
    if items is None:
        return False
    if not line.impression.replay.item_state:
        return True  # the items moved while they were read: nobody knows which it was
    return items.at_request.tobytes() != items.at_impression.tobytes()
