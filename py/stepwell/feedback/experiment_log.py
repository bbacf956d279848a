"""Reads one experiment out of the event log: who was shown what, and did what."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stepwell.base.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.experiments.exposed_slates import GUARDRAILS, OUTCOMES, ExposedSlates
from stepwell.feedback.logged_events import OnProgress, decoded
from stepwell.stores.event_log import EventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

DEFAULT_WINDOW_SECONDS = 86_400

_BATCH_LINES = 500
_CLICK = common_pb2.EVENT_TYPE_CLICK
_PURCHASE = common_pb2.EVENT_TYPE_PURCHASE


def read_experiment(
    log: EventLog,
    name: str,
    window_seconds: int = DEFAULT_WINDOW_SECONDS,
    on_progress: OnProgress | None = None,
    since: int = 0,
) -> ExposedSlates:
    """Returns what the users of an experiment were shown and did.

    An event counts for a slate when it names its request, is of the same user and of
    an item in it, and came within the window; several of one kind and item count once.
    What users did before the first exposure in the log was known of them before.

    Args:
        since: unix seconds; what was shown earlier was shown before the experiment, in
            no arm of it.
    Raises:
        NotFoundError: no impression names the experiment; names those that are there.
        InvalidArgumentError: none does so since then.
    """
    reader = _Reader(name, window_seconds, since)
    at, end = 0, log.end_offset()
    while at < end and (lines := log.read(at, min(_BATCH_LINES, end - at))):
        for line in lines:
            try:
                reader.take(decoded(line).event)
            except DataLossError:
                continue  # a line of a later version says nothing of this
        at = lines[-1].offset + 1
        if on_progress is not None:
            on_progress(at, end)
    return reader.slates()


@dataclass(slots=True)
class _User:
    """One user: the arms seen, and what was done before the experiment began."""

    arms: set[str] = field(default_factory=set)
    num_slates: int = 0
    num_clicks: int = 0
    num_purchases: int = 0

    def before(self) -> list[float]:
        counts = (self.num_slates, self.num_clicks, self.num_purchases)
        return [math.log1p(count) for count in counts]


@dataclass(slots=True)
class _Slate:
    user_id: str
    time: int
    item_ids: frozenset[str]
    tier: common_pb2.Tier
    clicked: set[str] = field(default_factory=set)
    bought: set[str] = field(default_factory=set)
    value: float = 0.0

    def take(self, event: feedback_pb2.Event, window_seconds: int) -> None:
        delay = event.event_time_seconds - self.time
        is_own = event.user_id == self.user_id and event.item_id in self.item_ids
        if not is_own or not 0 <= delay <= window_seconds:
            return
        if event.event_type == _CLICK:
            self.clicked.add(event.item_id)
        elif event.event_type == _PURCHASE:
            self.bought.add(event.item_id)
            self.value += event.value

    def values(self) -> Iterator[float]:
        """In the order of `OUTCOMES` and `GUARDRAILS`."""
        yield float(bool(self.clicked))
        yield float(len(self.clicked))
        yield float(len(self.bought))
        yield self.value
        yield float(self.tier == common_pb2.TIER_FULL)
        yield float(self.tier == common_pb2.TIER_POPULAR)
        yield float(not self.item_ids)


class _Reader:
    def __init__(self, name: str, window_seconds: int, since: int) -> None:
        self._name = name
        self._window_seconds = window_seconds
        self._since = since
        self._users: dict[str, _User] = {}
        self._slates: dict[str, _Slate] = {}
        # An impression may reach the log behind the first event that answers it.
        self._answers: list[feedback_pb2.Event] = []
        # Also its own name, where it was shown too early.
        self._others: set[str] = set()

    def take(self, event: feedback_pb2.Event | feedback_pb2.Impression) -> None:
        user = self._users.setdefault(event.user_id, _User())
        if isinstance(event, feedback_pb2.Event):
            if event.request_id:
                self._answers.append(event)
            if not self._slates:
                user.num_clicks += event.event_type == _CLICK
                user.num_purchases += event.event_type == _PURCHASE
            return
        arms = {one.experiment: one.arm for one in event.exposures}
        if self._name in arms and event.event_time_seconds >= self._since:
            user.arms.add(arms[self._name])
            self._slates.setdefault(event.request_id, _slate(event))
        else:
            self._others.update(arms)
            user.num_slates += not self._slates

    def slates(self) -> ExposedSlates:
        if not self._slates and self._name in self._others:
            raise InvalidArgumentError(
                f"no slate was shown since {self._since}", "since"
            )
        if not self._slates:
            others = ", ".join(sorted(self._others)) or "none"
            raise NotFoundError(
                f"no impression names experiment {self._name!r}; named are: {others}"
            )
        for event in self._answers:
            slate = self._slates.get(event.request_id)
            if slate is not None:
                slate.take(event, self._window_seconds)
        exposed = {name: user for name, user in self._users.items() if user.arms}
        kept = {name: user for name, user in exposed.items() if len(user.arms) == 1}
        return _columns(kept, self._slates, len(exposed) - len(kept))


def _slate(impression: feedback_pb2.Impression) -> _Slate:
    return _Slate(
        user_id=impression.user_id,
        time=impression.event_time_seconds,
        item_ids=frozenset(item.item_id for item in impression.items),
        tier=impression.tier,
    )


def _columns(
    users: dict[str, _User], slates: dict[str, _Slate], num_crossed: int
) -> ExposedSlates:
    place_of = {name: place for place, name in enumerate(users)}
    arm_of = [next(iter(user.arms)) for user in users.values()]
    arm_names = tuple(sorted(set(arm_of)))
    shown = [slate for slate in slates.values() if slate.user_id in place_of]
    names = (*OUTCOMES, *GUARDRAILS)
    cells = np.array([[*slate.values()] for slate in shown], np.float64)
    columns = cells.reshape(len(shown), len(names)).T
    before = np.array([user.before() for user in users.values()], np.float64)
    return ExposedSlates(
        arm_names=arm_names,
        arms=np.array([arm_names.index(arm) for arm in arm_of], np.int64),
        before=before.reshape(len(users), 3),
        users=np.array([place_of[slate.user_id] for slate in shown], np.int64),
        times=np.array([slate.time for slate in shown], np.int64),
        values=dict(zip(names, columns, strict=True)),
        num_crossed=num_crossed,
    )
