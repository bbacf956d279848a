"""Shapes of load: what a run asks for, and when its trouble is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from generator import At
from lanes import Lane, recommend_lane
from open_loop import Schedule, merged, poisson
from slo import HEAVY_LANE
from stepwell.base.errors import InvalidArgumentError
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.types import Priority

HEAVY_SHARE, HEAVY_ITEMS, HEAVY_EXCLUSIONS = 0.01, 500, 1_000
HOT_SHARE = 0.5
_LOW_SHARE = 0.1
_CALM_OF_TOP = 1 / 6


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong for a part of the run.

    Attributes:
        begin: called when it begins.
        end: called when it ends.
    """

    begin: Callable[[], object]
    end: Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What a scenario is made from.

    Attributes:
        rate: calls a second, at the scenario's height.
        seconds: length of the schedule.
        user_ids: who is asked for, in turn.
        item_ids: for heavy requests to leave out.
        calm_rate: before and after a spike; 0 is a sixth of `rate`.
        num_items, deadline_ms: of every call.
        priorities: share of the calls by priority; sum 1.
        fault: what goes wrong during the trouble of the scenarios about faults.
        trouble_s: (from, to) in seconds of the run; None is the middle third.
        seed: of the arrivals.
    """

    rate: float
    seconds: float
    user_ids: Sequence[str]
    item_ids: Sequence[str] = ()
    calm_rate: float = 0.0
    num_items: int = 10
    deadline_ms: int = 200
    priorities: Mapping[Priority, float] = field(
        default_factory=lambda: {Priority.INTERACTIVE: 1.0}
    )
    fault: Fault | None = None
    trouble_s: tuple[float, float] | None = None
    seed: int = 1

    @property
    def trouble(self) -> tuple[float, float]:
        """When the spike is, or the fault."""
        return self.trouble_s or (self.seconds / 3, self.seconds * 2 / 3)


@dataclass(frozen=True)
class Work:
    """What the generator is given.

    Attributes:
        schedule, lanes, events: as `generate` takes them.
        trouble: (from, to) in seconds when load or fault was on; None without one.
    """

    schedule: Schedule
    lanes: tuple[Lane, ...]
    events: tuple[At, ...] = ()
    trouble: tuple[float, float] | None = None


Rate = float | Callable[[float], float]


def _steady(setting: Setting) -> Work:
    return _by_priority(setting, setting.rate)


def _ramp(setting: Setting) -> Work:
    def rate(second: float) -> float:
        share = _LOW_SHARE + (1 - _LOW_SHARE) * second / setting.seconds
        return setting.rate * share

    return _by_priority(setting, rate)


def _spike(setting: Setting) -> Work:
    begin, end = setting.trouble
    calm = setting.calm_rate or setting.rate * _CALM_OF_TOP

    def rate(second: float) -> float:
        return setting.rate if begin <= second < end else calm

    return replace(_by_priority(setting, rate), trouble=setting.trouble)


def _diurnal(setting: Setting) -> Work:
    """One day in the run: night at both ends."""

    def rate(second: float) -> float:
        day = (1 - math.cos(2 * math.pi * second / setting.seconds)) / 2
        return setting.rate * (_LOW_SHARE + (1 - _LOW_SHARE) * day)

    return _by_priority(setting, rate)


def _faulty(setting: Setting) -> Work:
    if setting.fault is None:
        raise InvalidArgumentError(
            "this scenario needs something that goes wrong", "fault"
        )
    begin, end = setting.trouble
    events = (At(begin, setting.fault.begin), At(end, setting.fault.end))
    work = _by_priority(setting, setting.rate)
    return replace(work, events=events, trouble=setting.trouble)


def _retry_storm(setting: Setting) -> Work:
    """A fault, and clients that try three times."""
    work = _faulty(setting)
    lanes = tuple(replace(lane, retries=RetryOptions()) for lane in work.lanes)
    return replace(work, lanes=lanes)


def _hot_user(setting: Setting) -> Work:
    crowd = _lane(setting, "crowd", setting.user_ids)
    hot = _lane(setting, "hot-user", setting.user_ids[:1])
    return _two(setting, crowd, hot, HOT_SHARE)


def _heavy_request(setting: Setting) -> Work:
    usual = _lane(setting, "usual", setting.user_ids)
    known = setting.item_ids or [f"item-{number}" for number in range(HEAVY_EXCLUSIONS)]
    heavy = recommend_lane(
        HEAVY_LANE,
        setting.user_ids,
        num_items=HEAVY_ITEMS,
        deadline_ms=setting.deadline_ms,
        exclude_item_ids=known[:HEAVY_EXCLUSIONS],
    )
    return _two(setting, usual, heavy, HEAVY_SHARE)


def _two_priorities(setting: Setting) -> Work:
    even = {Priority.INTERACTIVE: 0.5, Priority.BATCH: 0.5}
    return _by_priority(replace(setting, priorities=even), setting.rate)


@dataclass(frozen=True)
class Scenario:
    """One shape of load: a line for people, and the work of a setting."""

    summary: str
    build: Callable[[Setting], Work]


SCENARIOS = {
    "steady": Scenario("one rate", _steady),
    "ramp": Scenario("rises from a tenth to the rate", _ramp),
    "spike": Scenario("calm, the rate for the middle third, calm", _spike),
    "diurnal": Scenario("one day: night, noon at the rate, night", _diurnal),
    "slow-dependency": Scenario("one rate; a fault in the middle third", _faulty),
    "dead-dependency": Scenario("one rate; a fault in the middle third", _faulty),
    "retry-storm": Scenario("a fault, and callers that try thrice", _retry_storm),
    "hot-user": Scenario("half of the calls are for one user", _hot_user),
    "heavy-request": Scenario(
        "1 % ask for 500 items and leave out 1,000", _heavy_request
    ),
    "priorities": Scenario("interactive and batch, one to one", _two_priorities),
}
"""By name, as `./stepwell load --scenario` takes them."""


def _by_priority(setting: Setting, rate: Rate) -> Work:
    """Returns one lane a priority, each with its share of the rate."""
    schedules, lanes = [], []
    for number, (priority, share) in enumerate(setting.priorities.items()):
        name = priority.name.lower()
        lanes.append(_lane(setting, name, setting.user_ids, priority))
        rate_of_lane = _scaled(rate, share)
        schedules.append(
            poisson(rate_of_lane, setting.seconds, setting.seed + number, number)
        )
    return Work(merged(*schedules), tuple(lanes))


def _scaled(rate: Rate, share: float) -> Rate:
    if callable(rate):
        return lambda second: rate(second) * share
    return rate * share


def _two(setting: Setting, first: Lane, second: Lane, second_share: float) -> Work:
    """Returns two lanes, the second with its share of the rate."""
    schedules = [
        poisson(setting.rate * share, setting.seconds, setting.seed + lane, lane)
        for lane, share in enumerate((1 - second_share, second_share))
    ]
    return Work(merged(*schedules), (first, second))


def _lane(
    setting: Setting,
    name: str,
    user_ids: Sequence[str],
    priority: Priority = Priority.INTERACTIVE,
) -> Lane:
    return recommend_lane(
        name,
        user_ids,
        num_items=setting.num_items,
        priority=priority,
        deadline_ms=setting.deadline_ms,
    )
