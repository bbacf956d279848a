"""One step of open-loop load on one server, and what it cost that server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from capacity import verdict_of
from generator import At, generate
from lanes import Lane
from load_run import LoadRun
from open_loop import poisson
from rate_search import Verdict
from stepwell.client.types import Tier

WARM_UP_SHARE = 0.1
"""Of a step's calls, at its start; they are asked and not counted."""

MIN_SAMPLES = 500
"""A 99th percentile of fewer is one sample's luck."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server under test.

    Attributes:
        name: as rows call it.
        address: host:port of callers.
        cpu_seconds: processor time that it has used so far.
        lane: what it is asked in the search for its highest rate.
        free_lane: what callers ask it: the server chooses how it answers.
        tier: what the answers of `lane` must be of; UNSPECIFIED: anything.
    """

    name: str
    address: str
    cpu_seconds: Callable[[], float]
    lane: Lane
    free_lane: Lane
    tier: Tier = Tier.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Step:
    """What a step showed.

    Attributes:
        run: every counted call.
        cpu_ms: the server's processor time an answer, warm-up included.
    """

    run: LoadRun
    cpu_ms: float

    def verdict(self, budget_ms: float, tier: Tier) -> Verdict:
        """Whether 99 % of the calls were answered in time, from the wanted tier."""
        return verdict_of(self.run, budget_ms, tier)


def step(
    contestant: Contestant,
    rate: float,
    seconds: float,
    seed: int,
    lane: Lane | None = None,
    events: Sequence[At] = (),
) -> Step:
    """Asks at a rate for some seconds.

    Args:
        contestant: the server.
        rate: calls a second, Poisson.
        seconds: of the schedule, warm-up included.
        seed: of the arrivals.
        lane: in the place of the contestant's own.
        events: what happens meanwhile.
    """
    schedule = poisson(rate, seconds, seed)
    before = contestant.cpu_seconds()
    lanes = [lane or contestant.lane]
    run = generate(contestant.address, schedule, lanes, events=events)
    used_ms = (contestant.cpu_seconds() - before) * 1e3
    answered = max(int(run.ok().sum()), 1)
    return Step(run.between(WARM_UP_SHARE * seconds, np.inf), used_ms / answered)


def step_seconds(rate: float, shortest: float, longest: float) -> float:
    """Returns how long a step must be for MIN_SAMPLES, within reason."""
    return min(max(MIN_SAMPLES / rate, shortest), longest)
