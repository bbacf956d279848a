"""What benchmark `ladder` runs, in which order, and how long it takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bench.ladder_faults import in_slow_motion, paused
from bench.retrieval_figures import say
from capacity import Capacity
from scenarios import Fault, Setting
from stepwell.client.types import Tier

OVERLOADS = (1.5, 2.0, 3.0)
EDGES = (0.95, 1.0, 1.05)
INTERACTIVE_LOAD = 0.9
"""Of C2, of each of the two priorities of O8."""

TRIGGER_LOAD = 0.8
"""Of C0, under the triggers of O7."""

SLOWER = 6.0
"""Times; one of those triggers."""

_STEPS_A_SEARCH, _STEPS_NEARBY = 22, 6
_STORM_BEFORE_S, _STORM_AFTER_S = 3.0, 14.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of the runs.

    Attributes:
        capacity_step: one rate of the search for C0, C1, C2.
        settle: half of C0 before each run.
        steady: O1, O2, O3, O8.
        spike: O4, a third of it the spike.
        drift: O5.
        stop: O6, how long the server stands still.
        trigger: O7, how long each one lasts; as long a calm before it.
        recovery: O7, until all must be well again.
        burst: ten times C0, a third of it the burst.
        pair: O9, each of its two runs.
        turn, turns: of the rivals; a turn is also the length of a run with a kill.
        num_profiled: requests of the profile; no seconds.
    """

    capacity_step: float = 0.7
    settle: float = 2.0
    steady: float = 5.0
    spike: float = 21.0
    drift: float = 12.0
    stop: float = 2.0
    trigger: float = 4.0
    recovery: float = 8.0
    burst: float = 21.0
    pair: float = 8.0
    turn: float = 5.0
    turns: int = 1
    num_profiled: int = 500


SHORT = Lengths()
LONG = Lengths(
    capacity_step=2.0,
    settle=5.0,
    steady=60.0,
    spike=60.0,
    drift=300.0,
    stop=5.0,
    trigger=10.0,
    recovery=60.0,
    burst=180.0,
    pair=30.0,
    turn=20.0,
    turns=3,
    num_profiled=2_000,
)
QUICK = Lengths(0.5, 0.5, 1.0, 6.0, 4.0, 0.5, 1.0, 2.0, 12.0, 1.0, 1.0, 1, 50)


@dataclass(frozen=True, slots=True)
class Chaos:
    """One run.

    Attributes:
        name: of its rows and, in lower case with dashes, of its file.
        slo: the limits, by their name in loadtest/slo.py.
        setting: rate, seconds, seed.
        scenario: shape of the load.
        faults: (second, what) of what is done meanwhile, for the file.
        calm: name of an earlier run that it is compared with.
        why: what a reader of its first row must know beside.
    """

    name: str
    slo: str
    setting: Setting
    scenario: str = "steady"
    faults: tuple[tuple[float, str], ...] = ()
    calm: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes runs with a seed of their own each; `pid` is of the server."""

    capacity: Capacity
    users: list[str]
    lengths: Lengths
    pid: int
    seeds: Iterator[int]

    def setting(self, rate: float, seconds: float, **more: Any) -> Setting:
        return Setting(rate, seconds, self.users, seed=next(self.seeds), **more)

    def at(self, name: str, slo: str, ratio: float, seconds: float) -> Chaos:
        title = f"{name}, {ratio:g} x C0"
        return Chaos(title, slo, self.setting(ratio * self.capacity.full, seconds))

    def day(self) -> list[Chaos]:
        seconds = self.lengths.steady
        return [
            self.at("O1", "half", 0.5, seconds),
            self.at("O1", "nearly-full", 0.9, seconds),
        ]

    def overloads(self) -> list[Chaos]:
        seconds = self.lengths.steady
        return [self.at("O2", "overload", ratio, seconds) for ratio in OVERLOADS]

    def edge(self, ratio: float) -> list[Chaos]:
        return [self.at("O5", "steady", ratio, self.lengths.drift)]

    def spikes(self) -> list[Chaos]:
        title = "O4, 0.5 then 3 then 0.5 x C0"
        return [self.spike(title, "burst", 3, self.lengths.spike)]

    def bursts(self) -> list[Chaos]:
        seconds = self.lengths.burst
        title = f"burst of 10 x C0 for {seconds / 3:g} s"
        return [self.spike(title, "aftermath", 10, seconds)]

    def stops(self) -> list[Chaos]:
        return [self.storm(), *self.triggers()]

    def floods(self) -> list[Chaos]:
        seconds = self.lengths.steady
        twice = self.setting(2 * self.capacity.popular, seconds)
        return [
            *(self.at("O3", "flood", ratio, seconds) for ratio in (5.0, 10.0)),
            Chaos("O3, 2 x C2", "flood", twice),
        ]

    def spike(self, name: str, slo: str, ratio: float, seconds: float) -> Chaos:
        c0 = self.capacity.full
        setting = self.setting(ratio * c0, seconds, calm_rate=0.5 * c0)
        return Chaos(name, slo, setting, "spike")

    def storm(self) -> Chaos:
        end_s = _STORM_BEFORE_S + self.lengths.stop
        setting = self.setting(
            0.9 * self.capacity.full,
            end_s + _STORM_AFTER_S,
            fault=paused(self.pid),
            trouble_s=(_STORM_BEFORE_S, end_s),
        )
        return Chaos(
            f"O6, 0.9 x C0, three attempts, stopped {self.lengths.stop:g} s",
            "storm",
            setting,
            "retry-storm",
            ((_STORM_BEFORE_S, "SIGSTOP"), (end_s, "SIGCONT")),
        )

    def triggers(self) -> list[Chaos]:
        faults = {
            "stopped": paused(self.pid),
            f"{SLOWER:g} x slower": in_slow_motion(self.pid, SLOWER),
        }
        return [
            trigger_run(
                what,
                fault,
                self.lengths,
                self.setting(TRIGGER_LOAD * self.capacity.full, 1.0),
            )
            for what, fault in faults.items()
        ]

    def priorities(self) -> list[Chaos]:
        rate = 2 * INTERACTIVE_LOAD * self.capacity.popular
        load = f"{INTERACTIVE_LOAD:g} x C2"
        one = Chaos(
            f"O8, interactive {load}, batch as much",
            "priorities",
            self.setting(rate, self.lengths.steady),
            "priorities",
            why="O8 says 3 x C2 one to one; no order of answers could then serve the "
            "interactive half, 1.5 x C2",
        )
        return [one]

    def heavy(self) -> list[Chaos]:
        calm = self.at("O9, without dear requests", "", 0.5, self.lengths.pair)
        setting = self.setting(0.5 * self.capacity.full, self.lengths.pair)
        dear = Chaos(
            "O9, 1 % dear, 0.5 x C0", "heavy", setting, "heavy-request", calm=calm.name
        )
        return [calm, dear]


def trigger_run(what: str, fault: Fault, lengths: Lengths, load: Setting) -> Chaos:
    """Returns a run of O7: calm, the fault, and what comes after it.

    Args:
        what: goes wrong.
        fault: begins and ends it.
        lengths: of the fault, and until it must be forgotten.
        load: rate, users and seed.
    """
    begin_s, end_s = lengths.trigger, 2 * lengths.trigger
    seconds = _trigger_seconds(lengths)
    setting = replace(load, seconds=seconds, fault=fault, trouble_s=(begin_s, end_s))
    return Chaos(
        f"O7, {TRIGGER_LOAD:g} x C0, {what} for {lengths.trigger:g} s",
        "forgotten",
        setting,
        "slow-dependency",
        ((begin_s, what), (end_s, "healed")),
    )


def _trigger_seconds(lengths: Lengths) -> float:
    return 2 * lengths.trigger + lengths.recovery + max(lengths.trigger, 4.0)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose rates are ratios to a capacity that is measured just before them.

    Attributes:
        runs: made for that capacity, in the order in which they are run.
        needs: the tiers whose capacity they depend on.
    """

    runs: Callable[[Capacity], list[Chaos]]
    needs: tuple[Tier, ...] = (Tier.FULL,)


def overload_groups(users: list[str], lengths: Lengths, pid: int) -> list[Group]:
    """Returns O1 to O9 and a burst of 10 x C0, in the order in which they are run.

    Args:
        users: who is asked for.
        lengths: of the runs.
        pid: of the server, whose processes faults stop.
    """
    seeds = iter(range(1_000, 2_000, 10))

    def group(runs: Callable[[_Maker], list[Chaos]], *needs: Tier) -> Group:
        def made(capacity: Capacity) -> list[Chaos]:
            return runs(_Maker(capacity, users, lengths, pid, seeds))

        return Group(made, (Tier.FULL, *needs))

    return [
        group(_Maker.day),
        group(_Maker.overloads, Tier.REDUCED, Tier.POPULAR),
        group(_Maker.floods, Tier.POPULAR),
        group(_Maker.spikes),
        *(group(partial(_Maker.edge, ratio=ratio)) for ratio in EDGES),
        group(_Maker.stops),
        group(_Maker.priorities, Tier.POPULAR),
        group(_Maker.heavy),
        group(_Maker.bursts),
    ]


def planned_seconds(lengths: Lengths) -> dict[str, float]:
    """Returns what each part takes, by its name; searches are estimated."""
    groups = overload_groups(["nobody"], lengths, pid=0)
    runs = [run for one in groups for run in one.runs(Capacity(1.0, 1.0, 1.0))]
    search = _STEPS_A_SEARCH * lengths.capacity_step
    nearby = _STEPS_NEARBY * lengths.capacity_step
    return {
        "C0, C1, C2": 3 * search + nearby * sum(len(one.needs) for one in groups),
        "POPULAR alone": lengths.steady,
        "O1 to O9, burst": sum(lengths.settle + run.setting.seconds for run in runs),
        "O10, rivals": 4 * lengths.turns * lengths.turn,
        "dependencies": 2 * search
        + lengths.settle
        + _trigger_seconds(lengths)
        + 3 * lengths.turn,
    }


def plan_text(lengths: Lengths) -> str:
    """Returns one line: each part with its minutes, and their sum."""
    plan = planned_seconds(lengths)
    parts = ", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in plan.items())
    return f"plan: {parts}; {sum(plan.values()) / 60:.0f} minutes and some for starts"


Tick = Callable[[float], None]
"""Told of seconds of the plan that are over."""


@contextmanager
def progress_of(lengths: Lengths) -> Iterator[Tick]:
    """Prints the plan, then shows a bar on a terminal's standard error."""
    say(plan_text(lengths))
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("ladder", total=sum(planned_seconds(lengths).values()))
        yield lambda seconds: bar.advance(task, seconds)
