"""One simulated process: its queue, its threads, and the time that work takes."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stepwell.degradation.controller import Arrival
from stepwell.degradation.tier import Tier
from stepwell.simulation.scenario import Fault, Scenario
from stepwell.simulation.steering import SimulatedClock, Steering

MAX_QUEUE_SIZE = 512
QUICK_READ_US = 200
REFUSAL_US = 10
"""What a refusal takes of the callers' front."""

HOP_SHARE = 0.235
"""Of the time left, what a read of the store may take at FULL."""


@dataclass(slots=True, eq=False)
class Request:
    """A caller's wish, over all its attempts; `arrival` is of the newest one."""

    index: int
    first_us: int
    arrival: Arrival
    num_attempts: int = 1


Schedule = Callable[[int, Callable[[], None]], None]
"""Has something done at a time."""

Told = Callable[[Request, Tier | None], None]
"""Hears of the end of an attempt: (request, tier of the answer or None)."""


@dataclass(frozen=True, slots=True)
class World:
    """What all processes of a run share."""

    scenario: Scenario
    clock: SimulatedClock
    schedule: Schedule
    told: Told
    noise: Callable[[], float]


class Station:
    """One process. Concurrency: none; everything happens at the clock's time."""

    def __init__(self, world: World, steering: Steering) -> None:
        self._world = world
        self._server = world.scenario.server
        self._steering = steering
        self._queue: deque[Request] = deque()
        self._num_idle = self._server.threads
        # What refusals took of the threads' processor time.
        self._owed_us = 0
        self._flush_us = -1

    @property
    def fit_ppm(self) -> int:
        """f of the process's ladder, 0 for rivals."""
        return self._steering.fit_ppm

    def arrive(self, request: Request) -> None:
        """Queues or refuses one attempt."""
        num_ahead = len(self._queue)
        if num_ahead < MAX_QUEUE_SIZE:
            if self._steering.admits(request.arrival, num_ahead):
                self._queue.append(request)
                self._start_work()
                return
        if not self._num_idle:
            # Where there is no processor to spare the threads go without.
            self._owed_us += REFUSAL_US
        self._world.told(request, None)

    def _start_work(self) -> None:
        while self._queue and self._num_idle:
            if self._waits_for_more():
                return
            self._start_batch()

    def _waits_for_more(self) -> bool:
        server, now_us = self._server, self._world.clock.now_us
        if not server.batch_delay_us or len(self._queue) >= server.batch_size:
            return False
        flush_us = self._queue[0].arrival.arrived_us + server.batch_delay_us
        if now_us >= flush_us:
            return False
        if self._flush_us != flush_us:
            self._flush_us = flush_us
            self._world.schedule(flush_us, self._start_work)
        return True

    def _start_batch(self) -> None:
        """One thread takes what it can at once; the oldest decides for all of them."""
        queue = self._queue
        head = queue.popleft()
        most = self._server.batch_size - 1
        num_more = min(most, len(queue)) if most else 0
        tier = self._steering.decide(head.arrival, len(queue) - num_more)
        if tier is None:
            self._world.told(head, None)
            return
        batch = [head, *[queue.popleft() for _ in range(num_more)]]
        self._num_idle -= 1
        served, took_us = self._service(batch, tier)
        # The system gives a thread at least every other turn.
        took_us, self._owed_us = took_us + min(self._owed_us, took_us), 0
        end_us = self._world.clock.now_us + took_us
        self._world.schedule(end_us, lambda: self._done(batch, tier, served, took_us))
        self._world.schedule(end_us + self._server.overhead_us, self._thread_free)

    def _done(
        self, group: list[Request], tier: Tier, served: Tier, took_us: int
    ) -> None:
        for request in group:
            self._steering.record(tier, took_us, request.arrival, served)
            late = self._world.clock.now_us > request.arrival.deadline_us
            self._world.told(request, None if late else served)

    def _thread_free(self) -> None:
        self._num_idle += 1
        self._start_work()

    def _service(self, group: list[Request], tier: Tier) -> tuple[Tier, int]:
        """Returns the tier that is served in the end and the time that takes."""
        took_us = self._work_us(tier, len(group))
        if tier is Tier.POPULAR:
            return tier, took_us
        age_us = self._world.clock.now_us - group[0].arrival.arrived_us
        left_us = max(self._world.scenario.latency_budget_us - age_us, 0)
        read_us, answered = self._read_store(int(left_us * HOP_SHARE))
        if not answered:
            return Tier.POPULAR, read_us + self._work_us(Tier.POPULAR, 1) * len(group)
        took_us += read_us
        if took_us <= left_us or len(group) > 1 or not self._steering.steps_down:
            return tier, took_us
        return self._stepped_down(tier, took_us, left_us)

    def _stepped_down(self, tier: Tier, took_us: int, left_us: int) -> tuple[Tier, int]:
        """A late request goes on with what it has at the next tier that still fits."""
        known_us = int(took_us * self._server.late_share)
        if tier is Tier.FULL:
            rest = 1.0 - self._server.late_share
            reduced_us = int(rest * self._work_us(Tier.REDUCED, 1))
            if known_us + reduced_us <= left_us:
                return Tier.REDUCED, known_us + reduced_us
        return Tier.POPULAR, known_us + self._work_us(Tier.POPULAR, 1)

    def _read_store(self, hop_us: int) -> tuple[int, bool]:
        """Returns the time a read takes beyond what the work holds, and its success."""
        now_us, scenario = self._world.clock.now_us, self._world.scenario
        spell = scenario.spell_at(now_us) if scenario.spells else None
        extra_us = 0
        if spell is not None and spell.fault is Fault.DEAD_STORE:
            extra_us = scenario.deadline_us
        elif spell is not None and spell.fault is Fault.SLOW_STORE:
            extra_us = spell.extra_us
        breaker = self._steering.breakers.get("store")
        permit = breaker.try_acquire(now_us) if breaker is not None else None
        if breaker is not None and permit is None:
            return 0, False
        answered = extra_us <= hop_us
        if permit is not None:
            if answered:
                permit.success(QUICK_READ_US + extra_us, now_us)
            else:
                permit.drop(now_us)
        return min(extra_us, hop_us), answered

    def _work_us(self, tier: Tier, size: int) -> int:
        world = self._world
        mean_us = self._server.work[tier].mean_us(size) * world.noise()
        if world.scenario.spells:
            spell = world.scenario.spell_at(world.clock.now_us)
            if spell is not None and tier in spell.tiers:
                mean_us *= spell.factor
        return int(mean_us) or 1
