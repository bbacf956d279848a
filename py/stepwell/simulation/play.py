"""Plays a scenario: a heap of events, in simulated microseconds."""

import heapq
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from stepwell.degradation.controller import Arrival
from stepwell.degradation.tier import Tier
from stepwell.simulation.played import Played
from stepwell.simulation.scenario import MILLION, Scenario
from stepwell.simulation.station import Request, Station, World
from stepwell.simulation.steering import Maker, SimulatedClock

NUM_CONNECTIONS = 64
FIT_EVERY_US = 100_000
MEAN_BACKOFF_US = 20_000
"""A caller who got nothing waits between half and one and a half of it."""


def play(scenario: Scenario, make: Maker) -> Played:
    """Returns what becomes of a scenario's requests under a steering.

    The same scenario has the same arrivals, users and noise whoever steers.

    Cost: about 25 us an arrival.
    """
    return _Play(scenario, make).run()


class _Play:
    def __init__(self, scenario: Scenario, make: Maker) -> None:
        self._scenario = scenario
        self._clock = clock = SimulatedClock()
        self._arrivals = scenario.arrivals_us().tolist()
        self._random = np.random.default_rng([scenario.seed, 1])
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._noise = self._service_noise()
        world = World(scenario, clock, self._schedule, self._told, self._noise.__next__)
        self._stations = [
            Station(world, make(scenario, clock))
            for _ in range(scenario.server.processes)
        ]
        count = len(self._arrivals)
        self._latency_us = np.zeros(count, np.int64)
        self._tier = np.zeros(count, np.int8)
        self._num_attempts = np.ones(count, np.int8)
        self._fit: list[tuple[int, float]] = []

    def run(self) -> Played:
        count = len(self._arrivals)
        draws = self._random.integers(0, MILLION, (2, count)).tolist()
        stations = self._random.integers(0, NUM_CONNECTIONS, count)
        stations = (stations % len(self._stations)).tolist()
        next_fit_us = 0
        for index, arrived_us in enumerate(self._arrivals):
            self._run_until(arrived_us)
            self._clock.now_us = arrived_us
            if arrived_us >= next_fit_us:
                self._fit.append((arrived_us, self._stations[0].fit_ppm / MILLION))
                next_fit_us = arrived_us + FIT_EVERY_US
            request = Request(
                index,
                arrived_us,
                self._attempt(draws[0][index], draws[1][index]),
            )
            self._stations[stations[index]].arrive(request)
        self._run_until(None)
        return Played(
            self._scenario,
            np.asarray(self._arrivals, np.int64),
            self._latency_us,
            self._tier,
            self._num_attempts,
            tuple(self._fit) if any(fit for _, fit in self._fit) else (),
        )

    def _run_until(self, until_us: int | None) -> None:
        events, clock = self._events, self._clock
        while events and (until_us is None or events[0][0] <= until_us):
            clock.now_us, _, happen = heapq.heappop(events)
            happen()

    def _schedule(self, at_us: int, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_us, next(self._numbers), happen))

    def _attempt(self, user_draw: int, request_draw: int) -> Arrival:
        now_us = self._clock.now_us
        return Arrival(
            now_us, now_us + self._scenario.deadline_us, user_draw, request_draw
        )

    def _told(self, request: Request, tier: Tier | None) -> None:
        now_us = self._clock.now_us
        if tier is None and request.num_attempts < self._scenario.max_attempts:
            wait_us = int(MEAN_BACKOFF_US * self._random.uniform(0.5, 1.5))
            self._schedule(now_us + wait_us, lambda: self._retry(request))
            return
        self._latency_us[request.index] = now_us - request.first_us
        self._num_attempts[request.index] = request.num_attempts
        self._tier[request.index] = tier or 0

    def _retry(self, request: Request) -> None:
        """A new connection, by chance the same process."""
        request.num_attempts += 1
        former = request.arrival
        request.arrival = self._attempt(former.user_draw, former.request_draw)
        self._stations[int(self._random.integers(len(self._stations)))].arrive(request)

    def _service_noise(self) -> Iterator[float]:
        sigma = self._scenario.server.sigma
        random = np.random.default_rng([self._scenario.seed, 2])
        while True:
            yield from random.lognormal(-sigma * sigma / 2, sigma, 4_096).tolist()
