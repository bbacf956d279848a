"""The rows that the log makes of users, as of the log offsets of what was shown."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stepwell.base.errors import DataLossError
from stepwell.feedback.logged_events import (
    OnProgress,
    check_whole,
    decoded,
    impression_lines,
    lines_between,
)
from stepwell.feedback.stream_fold import (
    UserActivityFold,
    UserEvent,
    UserFold,
    UserHistoryFold,
)
from stepwell.feedback.user_history_updater import user_event
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.feedback.user_state_import import unknown_user_rows
from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import USER_VIEWS
from stepwell.schema.feature_row import FeatureRow, row_header
from stepwell.schema.feature_view import FeatureView
from stepwell.stores.event_log import EventLog, StoredEvent
from stepwell_pb.v1 import feedback_pb2

_BATCH_USERS = 256


@dataclass(frozen=True, slots=True)
class ShownLine:
    """An impression, and its place in the log."""

    offset: int
    ingestion_time_us: int
    impression: feedback_pb2.Impression


@dataclass(slots=True)
class Sample:
    """At most so many impressions, each of those offered with the same chance.

    Source: Vitter, Random sampling with a reservoir, ACM TOMS 11 (1), 1985, Alg. R.
    """

    size: int
    seed: int = 0
    num_offered: int = 0
    lines: list[ShownLine] = field(default_factory=list)
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def offer(self, line: ShownLine) -> None:
        """Takes the line in place of another one, or leaves it."""
        self.num_offered += 1
        if len(self.lines) < self.size:
            self.lines.append(line)
        elif (place := int(self._rng.integers(self.num_offered))) < self.size:
            self.lines[place] = line


@dataclass(frozen=True, slots=True)
class StateOfLog:
    """A user's row of one view between two events of the log.

    Attributes:
        next_offset: events of the user before this offset are in the row.
        row: None while there is none.
        due_us: when the log took in the event that follows; 0 where none does.
    """

    next_offset: int
    row: FeatureRow | None
    due_us: int


@dataclass(frozen=True, slots=True)
class AsOfLog:
    """What the log says of one row that was served.

    Attributes:
        row: the state with the served row's own `written_at_us`, of several the one
            with the same bytes; None where the log passes through no such state
            before the impression.
        newest: the state as of the impression's offset.
        num_unseen: events before that offset that are not in `row`.
        lag_us: from when the log took in the first of those to the impression.
    """

    row: FeatureRow | None
    newest: FeatureRow | None
    num_unseen: int = 0
    lag_us: int = 0


class RowsAsOfLog:
    """Folds the events of some users and finds the rows that were served among states.

    A row says when its newest event was taken in. The updater writes it some time after
    that event and before the next one of the user, so that a served row is compared
    with the state of the same `written_at_us`; how far this one lay behind the log is
    told apart.

    Args:
        log: not one line may have been forgotten.
        state: what the store began with; None where it began empty.
        history_types: events that enter histories.

    Concurrency: one thread; the log may grow meanwhile.
    Cost: one pass over the log for all users, their events in memory; then about 100 us
    an event.
    """

    def __init__(
        self,
        log: EventLog,
        state: UserStateFile | None,
        history_types: Collection[EventType],
    ) -> None:
        self._event_log = log
        self._state = state
        folds = (UserHistoryFold(history_types), UserActivityFold())
        self._folds: dict[str, UserFold] = {fold.view.name: fold for fold in folds}

    def each(
        self, lines: Sequence[ShownLine], on_progress: OnProgress
    ) -> Iterator[tuple[ShownLine, dict[str, AsOfLog]]]:
        """Yields each impression with what the log says of its rows, user by user.

        Args:
            lines: with replay inputs.
            on_progress: told lines of the log.
        Raises:
            FailedPreconditionError: the log has forgotten its first lines.
        """
        by_user: dict[str, list[ShownLine]] = {}
        for line in lines:
            by_user.setdefault(line.impression.user_id, []).append(line)
        end = max((line.offset for line in lines), default=0)
        check_whole(self._event_log)
        events = self._events(by_user.keys(), end, on_progress)
        begun = self._begun(by_user.keys())
        for user, shown in by_user.items():
            of_view = self._states(begun.get(user), events.get(user, []))
            for line in shown:
                yield line, _as_of(line, of_view)

    def _events(
        self, users: Collection[str], end: int, on_progress: OnProgress
    ) -> dict[str, list[UserEvent]]:
        found: dict[str, list[UserEvent]] = {}
        for lines, at in lines_between(self._event_log, 0, end):
            for stored in lines:
                user, event = _user_event(stored)
                if event is not None and user in users:
                    found.setdefault(user, []).append(event)
            on_progress(at, end)
        return found

    def _begun(self, users: Collection[str]) -> dict[str, dict[str, bytes]]:
        batches = self._state.batches(_BATCH_USERS) if self._state else ()
        return {
            user: {**unknown_user_rows(), **rows}
            for batch in batches
            for user, rows in batch.items()
            if user in users
        }

    def _states(
        self, begun: Mapping[str, bytes] | None, events: Sequence[UserEvent]
    ) -> dict[str, list[StateOfLog]]:
        """The states of each view, from the first to the last."""
        first = self._state.event_log_offset if self._state and begun else 0
        events = [event for event in events if event.offset >= first]
        states: dict[str, list[StateOfLog]] = {}
        for view in USER_VIEWS:
            blob = (begun or {}).get(view.name)
            row = None if blob is None else FeatureRow.unpack(view, blob)
            states[view.name] = list(self._passed(view, row, events))
        return states

    def _passed(
        self, view: FeatureView, row: FeatureRow | None, events: Sequence[UserEvent]
    ) -> Iterator[StateOfLog]:
        offset, fold = 0, self._folds.get(view.name)
        for event in events if fold else ():
            assert fold is not None
            after = fold.folded(row, [event]).row
            if after is not row:
                yield StateOfLog(offset, row, event.taken_in_us)
                row, offset = after, event.offset + 1
        yield StateOfLog(offset, row, 0)


def impressions(
    log: EventLog, on_progress: OnProgress | None = None
) -> Iterator[ShownLine]:
    """Yields the impressions that are in the log now, in order; damaged ones are not.

    Cost: about 50 us an impression.
    """
    for stored in impression_lines(log, on_progress):
        try:
            line = decoded(stored)
        except DataLossError:
            continue
        if isinstance(line.event, feedback_pb2.Impression):
            yield ShownLine(line.offset, line.ingestion_time_us, line.event)


def _user_event(stored: StoredEvent) -> tuple[str, UserEvent | None]:
    try:
        return user_event(decoded(stored))
    except DataLossError:
        return "", None  # the updater leaves it out and counts it


def _as_of(
    line: ShownLine, states: Mapping[str, Sequence[StateOfLog]]
) -> dict[str, AsOfLog]:
    found: dict[str, AsOfLog] = {}
    for served in line.impression.replay.rows:
        passed = [
            state
            for state in states.get(served.view, ())
            if state.next_offset <= line.offset
        ]
        if passed:
            blob = served.row if served.HasField("row") else None
            found[served.view] = _matched(line, blob, passed)
    return found


def _matched(
    line: ShownLine, blob: bytes | None, passed: Sequence[StateOfLog]
) -> AsOfLog:
    newest = passed[-1].row
    if blob is None:
        return AsOfLog(None, newest)
    written_at_us = row_header(blob).written_at_us
    alike = [
        place
        for place, state in enumerate(passed)
        if state.row is not None and state.row.written_at_us == written_at_us
    ]
    if not alike:
        return AsOfLog(None, newest)
    # Events of one batch were taken in together: a step may end between them.
    same = [p for p in alike if (row := passed[p].row) and row.pack() == blob]
    place = (same or alike)[-1]
    unseen = len(passed) - 1 - place
    lag_us = max(line.ingestion_time_us - passed[place].due_us, 0) if unseen else 0
    return AsOfLog(passed[place].row, newest, unseen, lag_us)
