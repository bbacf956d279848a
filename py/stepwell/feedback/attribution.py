"""Attribution: which shown item an event answers. A pure function of two lists."""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from stepwell_pb.v1 import common_pb2, feedback_pb2


class Unattributed(enum.Enum):
    """Why an event answers no impression; the value is its sentence."""

    NO_REQUEST = "It names no request."
    UNKNOWN_REQUEST = "No impression of its request is known, or not yet due."
    OTHER_USER = "Another user was shown that slate."
    NOT_SHOWN = "The item was not in that slate."
    OUTSIDE_WINDOW = "It came before the slate or after the window."


@dataclass(frozen=True, slots=True)
class ShownOutcome:
    """One shown item and what became of it: a row to train on.

    Attributes:
        position: 0-based place in the slate.
        propensity: probability that the policy showed the item there.
        outcomes: kinds of events that answered it, empty when ignored.
        value: sum of the values of these events.
        delay_seconds: from the slate to the first of them, -1 when ignored.
    """

    request_id: str
    user_id: str
    item_id: str
    position: int
    shown_time_seconds: int
    tier: common_pb2.Tier
    release_id: str
    score: float
    propensity: float
    outcomes: frozenset[common_pb2.EventType] = frozenset()
    value: float = 0.0
    delay_seconds: int = -1


@dataclass(frozen=True, slots=True)
class Attribution:
    """Rows in the order of impressions and positions, and the events left over."""

    rows: tuple[ShownOutcome, ...]
    unattributed: dict[Unattributed, int]


@dataclass(slots=True)
class _Answers:
    outcomes: set[common_pb2.EventType] = field(default_factory=set)
    value: float = 0.0
    first_time: int | None = None


def attribute(
    impressions: Iterable[feedback_pb2.Impression],
    events: Iterable[feedback_pb2.Event],
    window_seconds: int,
    as_of_seconds: int,
) -> Attribution:
    """Joins events to the slates they react to, by request id.

    An event answers a shown item when request, user and item are the same and it came
    within `window_seconds` after the slate, both ends included. Several events of one
    item are one row.

    Args:
        impressions: slates; of two with one request id the first counts.
        events: in any order; repeated event ids count once.
        window_seconds: > 0.
        as_of_seconds: unix seconds; slates whose window is not over by then are left
            out, since a row that is not yet answered is not a negative.
    Cost: O(shown items + events).
    """
    due = _due_impressions(impressions, as_of_seconds - window_seconds)
    answers: dict[tuple[str, str], _Answers] = {}
    left_over: Counter[Unattributed] = Counter()
    seen: set[str] = set()
    for event in events:
        if event.event_id in seen:
            continue
        seen.add(event.event_id)
        cause = _cause_of_none(due, event, window_seconds)
        if cause is None:
            _add(
                answers.setdefault((event.request_id, event.item_id), _Answers()), event
            )
        else:
            left_over[cause] += 1
    rows = [row for slate in due.values() for row in _rows(slate.impression, answers)]
    return Attribution(tuple(rows), dict(left_over))


@dataclass(frozen=True, slots=True)
class _Slate:
    impression: feedback_pb2.Impression
    item_ids: frozenset[str]


def _due_impressions(
    impressions: Iterable[feedback_pb2.Impression], last_due: int
) -> dict[str, _Slate]:
    due: dict[str, _Slate] = {}
    for impression in impressions:
        if impression.event_time_seconds <= last_due:
            items = frozenset(item.item_id for item in impression.items)
            due.setdefault(impression.request_id, _Slate(impression, items))
    return due


def _cause_of_none(
    due: dict[str, _Slate], event: feedback_pb2.Event, window_seconds: int
) -> Unattributed | None:
    if not event.request_id:
        return Unattributed.NO_REQUEST
    slate = due.get(event.request_id)
    if slate is None:
        return Unattributed.UNKNOWN_REQUEST
    if event.user_id != slate.impression.user_id:
        return Unattributed.OTHER_USER
    if event.item_id not in slate.item_ids:
        return Unattributed.NOT_SHOWN
    delay = event.event_time_seconds - slate.impression.event_time_seconds
    return None if 0 <= delay <= window_seconds else Unattributed.OUTSIDE_WINDOW


def _add(answers: _Answers, event: feedback_pb2.Event) -> None:
    answers.outcomes.add(event.event_type)
    answers.value += event.value
    time = event.event_time_seconds
    earliest = answers.first_time if answers.first_time is not None else time
    answers.first_time = min(earliest, time)


def _rows(
    impression: feedback_pb2.Impression, answers: dict[tuple[str, str], _Answers]
) -> Iterable[ShownOutcome]:
    shown_time = impression.event_time_seconds
    ignored = _Answers()
    for position, item in enumerate(impression.items):
        answer = answers.get((impression.request_id, item.item_id), ignored)
        first = answer.first_time
        yield ShownOutcome(
            request_id=impression.request_id,
            user_id=impression.user_id,
            item_id=item.item_id,
            position=position,
            shown_time_seconds=shown_time,
            tier=impression.tier,
            release_id=impression.release_id,
            score=item.score,
            propensity=item.propensity,
            outcomes=frozenset(answer.outcomes),
            value=answer.value,
            delay_seconds=-1 if first is None else first - shown_time,
        )
