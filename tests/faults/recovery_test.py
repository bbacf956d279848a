"""O6 and O7: what an overload or a fault leaves behind is gone soon after its end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from faults.load import (
    BUDGET_MS,
    DEADLINE_MS,
    Capacity,
    capacity,
    load,
    long_or_short,
    settled,
    tier_share,
)
from faults.redis_project import RedisProject
from faults.server_page import metric_value
from generator import At
from integration.small_project import SmallProject
from lanes import Lane, recommend_lane
from process_faults import paused, slow_motion
from server_process import ServerProcess, server_process
from stepwell.base.metric_names import GRPC_HANDLED
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.types import Tier

BEFORE_S = 2.0
FAULT_S = long_or_short(10, 4)
STUTTER_S = long_or_short(0.04, 0.26)
"""Three quarters of it stopped: longer than FULL may take of the budget."""
RECOVERY_S = long_or_short(60, 6)
AFTER_S = long_or_short(20, 3)
THREE_ATTEMPTS = RetryOptions(max_attempts=3)


@dataclass
class System:
    """A ranker over Redis, what it can carry, and faults that can begin and end."""

    server: ServerProcess
    redis: RedisProject
    capacity: Capacity
    user_ids: list[str]
    _fault: ExitStack = field(default_factory=ExitStack)

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def lane(self, retries: RetryOptions | None = None) -> Lane:
        return recommend_lane(
            "all", self.user_ids, deadline_ms=DEADLINE_MS, retries=retries
        )

    def pause(self) -> None:
        self._fault.enter_context(paused(self.pid))

    def slow_down(self) -> None:
        self._fault.enter_context(slow_motion(self.pid, 6))

    def stutter(self) -> None:
        """Stops so long that FULL is out of the budget wherever one meets it.

        In slow motion a stage's deadline cuts FULL short: at a cost which may still fit
        whatever remembers it. A ladder that counts samples in place of seconds keeps
        these for ever, since FULL makes no new ones.
        """
        self._fault.enter_context(slow_motion(self.pid, 4, STUTTER_S))

    def stop_redis(self) -> None:
        self._fault.enter_context(self.redis.stopped())

    def heal(self) -> None:
        self._fault.close()


@pytest.fixture(scope="module")
def system(
    project: SmallProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    with ExitStack() as stack:
        folder: Path = tmp_path_factory.mktemp("redis")
        redis = stack.enter_context(RedisProject.running(project, folder))
        flags = redis.flags(
            f"--latency_budget_ms={BUDGET_MS}", f"--default_deadline_ms={DEADLINE_MS}"
        )
        server = stack.enter_context(server_process("ranker_main", flags))
        carried = capacity(server.address, project.user_ids)
        yield System(server, redis, carried, project.user_ids)


def test_o6_a_pause_brings_no_storm_of_retries(system: System) -> None:
    settled(system.server.address, system.lane(), 0.3 * system.capacity.full)
    pause_s = long_or_short(5, 1.5)
    end_s = BEFORE_S + pause_s
    healthy_s = end_s + long_or_short(10, 4)
    before = metric_value(system.server.metrics_port, GRPC_HANDLED)
    run = load(
        system.server.address,
        system.lane(THREE_ATTEMPTS),
        0.9 * system.capacity.full,
        healthy_s + AFTER_S,
        [At(BEFORE_S, system.pause), At(end_s, system.heal)],
    )
    assert run.attempts.sum() <= 1.15 * len(run)
    handled = metric_value(system.server.metrics_port, GRPC_HANDLED) - before
    assert handled <= 1.15 * len(run)
    healthy = run.between(healthy_s, np.inf)
    assert healthy.ok().all(), healthy.summary(BUDGET_MS)
    assert healthy.in_budget(BUDGET_MS).mean() >= long_or_short(0.99, 0.95)


@pytest.mark.parametrize(
    "trigger",
    [System.pause, System.slow_down, System.stutter, System.stop_redis],
    ids=["a pause", "six times slower", "stutters", "a Redis that restarts"],
)
def test_o7_a_trigger_that_is_gone_is_forgotten(
    system: System, trigger: Callable[[System], None]
) -> None:
    settled(system.server.address, system.lane(), 0.3 * system.capacity.full)
    end_s = BEFORE_S + FAULT_S
    run = load(
        system.server.address,
        system.lane(),
        0.6 * system.capacity.full,
        end_s + RECOVERY_S + AFTER_S,
        [At(BEFORE_S, lambda: trigger(system)), At(end_s, system.heal)],
    )
    during = run.between(BEFORE_S + 0.5, end_s)
    # The fault was one: it changed what was served, or in what time.
    touched = ~during.in_budget(BUDGET_MS) | (during.tier != Tier.FULL)
    assert touched.mean() >= 0.2, during.summary(BUDGET_MS)
    after = run.between(end_s + RECOVERY_S, np.inf)
    assert after.ok().all(), after.summary(BUDGET_MS)
    assert tier_share(after, Tier.FULL) >= long_or_short(0.98, 0.85)
    assert after.in_budget(BUDGET_MS).mean() >= long_or_short(0.99, 0.95)
