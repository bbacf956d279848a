"""What an event does to a user's stored rows: pure folds, in the order of the log.

A fold rounds to the row's own types after every event, so that a log folded in other
steps, or again from its start, gives the same bytes.
"""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import (
    ACTIVITY_HALF_LIVES,
    ACTIVITY_TYPES,
    SESSION_GAP_SECONDS,
    USER_ACTIVITY,
    USER_HISTORY,
)
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import FeatureView
from stepwell.schema.user_history import UserHistory

LATENESS_SECONDS = 7 * 86_400
"""An event may be this much older than the newest that a window has seen."""

# USER_ACTIVITY.row_dtype as one struct: 20 counts and 2 sums, then 2 numbers of the
# session, then 5 last times and the session's start.
_ACTIVITY = struct.Struct("<22f2i6q")
_HALF_LIVES = tuple(ACTIVITY_HALF_LIVES.values())
_PLACES = {int(kind): place for place, kind in enumerate(ACTIVITY_TYPES)}
_SPENT = 20
_SPENT_HALF_LIVES = (ACTIVITY_HALF_LIVES["7d"], ACTIVITY_HALF_LIVES["30d"])
_SESSION_EVENTS, _SESSION_COUNT = 22, 23
_LAST_TIMES, _SESSION_START = 24, 29


@dataclass(frozen=True, slots=True)
class UserEvent:
    """One event of one user.

    Attributes:
        offset: its place in the log.
        kind: an EventType's number.
        item_key: `entity_key` of the item.
        time: unix seconds when it happened.
        value: money or rating, 0 where there is none.
        taken_in_us: unix microseconds when the log took it in.
    """

    offset: int
    kind: int
    item_key: int
    time: int
    value: float
    taken_in_us: int


@dataclass(frozen=True, slots=True)
class Folded:
    """A row after some events, None while it has seen none, and what was left out."""

    row: FeatureRow | None
    num_late: int = 0


class UserFold(Protocol):
    """Folds a user's events into the row of one view. Concurrency: immutable."""

    @property
    def view(self) -> FeatureView:
        """The view whose rows it makes."""
        ...

    def folded(self, row: FeatureRow | None, events: Sequence[UserEvent]) -> Folded:
        """Returns the row with `events` folded in, in their order.

        Folding some and then the rest gives the same bytes as folding all at once.

        Args:
            row: as stored; None for a user without one.
        Raises:
            DataLossError: the row's body is damaged.
        """
        ...


class UserHistoryFold:
    """What the user did with each item; events of any age are welcome.

    Args:
        kinds: the types that enter a history; others leave it as it is.

    Order: an item's counts and times do not depend on it; its decayed count does by
    rounding only, and `num_trips` where a late event repeats a known time.
    Cost: about 70 us an event of a user with 100 items.
    """

    view = USER_HISTORY

    def __init__(self, kinds: Collection[EventType]) -> None:
        self._kinds = frozenset(int(kind) for kind in kinds)

    def folded(self, row: FeatureRow | None, events: Sequence[UserEvent]) -> Folded:
        taken = [event for event in events if event.kind in self._kinds]
        if not taken:
            return Folded(row)
        history = UserHistory.unpack(row.body) if row else UserHistory.empty()
        for event in taken:
            history = history.applied(event.item_key, event.time, event.value)
        return Folded(
            FeatureRow(
                self.view,
                history.pack(),
                history.last_event_time,
                _written_at_us(row, taken),
            )
        )


class UserActivityFold:
    """How much the user did of late: decayed counts, money spent, the session.

    Order: counts and sums are decayed to the newest event of their type, so that they
    do not depend on it but by rounding. The session is by the log's order: an event
    joins the newest session when it lies at most the gap before its start, and one
    before that changes no session. What is more than LATENESS_SECONDS older than the
    newest event is left out and counted.
    Cost: about 5 us an event.
    """

    view = USER_ACTIVITY

    def folded(self, row: FeatureRow | None, events: Sequence[UserEvent]) -> Folded:
        body = row.body if row else bytes(_ACTIVITY.size)
        newest = row.event_timestamp if row else 0
        taken: list[UserEvent] = []
        num_late = 0
        for event in events:
            if event.kind not in _PLACES:
                continue
            if event.time < newest - LATENESS_SECONDS:
                num_late += 1
                continue
            body = activity_after(body, event.kind, event.time, event.value)
            newest = max(newest, event.time)
            taken.append(event)
        if not taken:
            return Folded(row, num_late)
        written_at_us = _written_at_us(row, taken)
        return Folded(FeatureRow(self.view, body, newest, written_at_us), num_late)


def activity_after(body: bytes, kind: int, time: int, value: float) -> bytes:
    """Returns the body of a user_activity row after one more event.

    Args:
        body: of a row; zeros for a user of whom nothing is known.
        kind: one of ACTIVITY_TYPES.
        time: unix seconds, above 0.
        value: money, of a purchase; others' is not looked at.
    """
    fields = list(_ACTIVITY.unpack(body))
    place = _PLACES[kind]
    _count_session(fields, time)
    last = fields[_LAST_TIMES + place]
    add_decayed(fields, 4 * place, _HALF_LIVES, time - last, 1.0)
    if kind == EventType.PURCHASE:
        add_decayed(fields, _SPENT, _SPENT_HALF_LIVES, time - last, value)
    fields[_LAST_TIMES + place] = max(last, time)
    return _ACTIVITY.pack(*fields)


def add_decayed(
    fields: list[float], start: int, half_lives: Sequence[int], later: int, what: float
) -> None:
    """Adds to sums that are decayed to the newest event's time, in place.

    Args:
        fields: has a sum for each half-life from `start` on.
        half_lives: seconds.
        later: seconds from the newest event so far to this one; negative for an
            event before it, whose part is decayed instead.
        what: 1 for a count, or money.
    """
    for place, half_life in enumerate(half_lives, start):
        decay = 2.0 ** (-abs(later) / half_life)
        held = fields[place]
        fields[place] = held * decay + what if later > 0 else held + what * decay


def _count_session(fields: list[int], time: int) -> None:
    last = max(fields[_LAST_TIMES:_SESSION_START])
    start = fields[_SESSION_START]
    if not last or time > last + SESSION_GAP_SECONDS:
        fields[_SESSION_EVENTS], fields[_SESSION_START] = 1, time
        fields[_SESSION_COUNT] += 1
    elif time >= start - SESSION_GAP_SECONDS:
        fields[_SESSION_EVENTS] += 1
        fields[_SESSION_START] = min(start, time)


def _written_at_us(row: FeatureRow | None, taken: Sequence[UserEvent]) -> int:
    newest = max(event.taken_in_us for event in taken)
    return max(row.written_at_us, newest) if row else newest
