"""D1, D2, D5: a dependency that is slow, silent or gone costs quality, not answers."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from faults.load import (
    BUDGET_MS,
    DEADLINE_MS,
    IS_LONG,
    Capacity,
    capacity,
    load,
    long_or_short,
    settled,
    tier_share,
)
from faults.redis_project import RedisProject
from faults.server_page import Footprint, metric_value
from faults.tcp_proxy import Toxics
from generator import At
from integration.small_project import SmallProject
from lanes import Lane, recommend_lane
from load_run import LoadRun
from server_process import ServerProcess, server_process
from stepwell.base.metric_names import BREAKER_OPEN
from stepwell.client.types import Reason, Tier
from stepwell.retrieval.artifacts import INDEX_FILE

BEFORE_S = 1.0
FAULT_S = long_or_short(30, 2)
OPEN_WITHIN_S = long_or_short(1, 1.5)
CLOSED_WITHIN_S = long_or_short(5, 3)
AFTER_S = long_or_short(10, 1)
END_S = BEFORE_S + FAULT_S
ALL_S = END_S + CLOSED_WITHIN_S + AFTER_S
LOAD = long_or_short(0.5, 0.3)
MOST_GROWTH = 3

LINES = {
    "50 ms later": Toxics(latency_ms=50),
    "blackholed": Toxics(blackhole=True),
    "refused": Toxics(refuse=True),
    "half open": Toxics(half_open=True),
}
if IS_LONG:
    LINES |= {
        "200 ms later": Toxics(latency_ms=200),
        "2 s later": Toxics(latency_ms=2_000),
        "reset": Toxics(reset=True),
        "trickling": Toxics(slice_bytes=16, slice_delay_ms=20),
    }


@dataclass
class System:
    """A ranker over Redis and a retrieval service, and what it can carry."""

    stack: ExitStack
    server: ServerProcess
    redis: RedisProject
    retrieval: ServerProcess
    capacity: Capacity
    user_ids: list[str]

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def lane(self) -> Lane:
        return recommend_lane("all", self.user_ids, deadline_ms=DEADLINE_MS)

    def footprint(self) -> Footprint:
        return Footprint.of(self.server.process.pid)

    def restart_retrieval(self) -> None:
        """At the port where the ranker looks for it."""
        port = self.retrieval.port
        self.retrieval = _retrieval(self.redis.project, port, self.stack)

    def openness(self, dependency: str) -> float:
        """1 open, 0.5 probing, 0 closed."""
        return metric_value(
            self.server.metrics_port, BREAKER_OPEN, dependency=dependency
        )


def _retrieval(project: SmallProject, port: int, stack: ExitStack) -> ServerProcess:
    index = project.state.registry / "v000001" / INDEX_FILE
    arguments = [f"--index={index}", f"--port={port}"]
    return stack.enter_context(server_process("retrieval_main", arguments))


@pytest.fixture(scope="module")
def system(
    project: SmallProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    with ExitStack() as stack:
        folder: Path = tmp_path_factory.mktemp("redis")
        redis = stack.enter_context(RedisProject.running(project, folder))
        retrieval = _retrieval(project, 0, stack)
        flags = redis.flags(
            f"--latency_budget_ms={BUDGET_MS}",
            f"--default_deadline_ms={DEADLINE_MS}",
            f"--retrieval_shards={retrieval.address}",
        )
        server = stack.enter_context(server_process("ranker_main", flags))
        carried = capacity(server.address, project.user_ids)
        yield System(stack, server, redis, retrieval, carried, project.user_ids)


@pytest.fixture(autouse=True)
def calm(system: System) -> None:
    settled(system.address, system.lane, LOAD * system.capacity.full)


def assert_all_answered_in_budget(run: LoadRun) -> None:
    assert run.ok().all(), run.summary(BUDGET_MS)
    assert run.in_budget(BUDGET_MS).mean() >= long_or_short(0.99, 0.95)


def assert_as_before(run: LoadRun) -> None:
    """Once the breaker is closed nothing of the fault is left."""
    assert len(run)
    assert tier_share(run, Tier.FULL) >= long_or_short(0.98, 0.85)


@pytest.mark.parametrize("line", LINES)
def test_a_bad_line_to_redis_is_answered_around_and_forgotten(
    system: System, line: str
) -> None:
    held = system.footprint()
    openness: list[float] = []
    strike = [
        At(BEFORE_S, lambda: system.redis.proxy.strike(LINES[line])),
        At(
            BEFORE_S + OPEN_WITHIN_S,
            lambda: openness.append(system.openness("store")),
        ),
        At(END_S, system.redis.proxy.heal),
        At(END_S + CLOSED_WITHIN_S, lambda: openness.append(system.openness("store"))),
    ]
    rate = LOAD * system.capacity.full
    run = load(system.address, system.lane, rate, ALL_S, strike)
    assert_all_answered_in_budget(run)
    assert openness[-2:] == [pytest.approx(1.0, abs=0.5), 0.0]
    assert openness[-2] > 0
    during = run.between(BEFORE_S + 0.2, END_S)
    said = during.has_reason(Reason.BREAKER_STORE) | during.has_reason(
        Reason.DEADLINE_HYDRATE
    )
    assert said.mean() >= 0.95, during.summary(BUDGET_MS)
    assert (during.tier[said] != Tier.FULL).all()
    assert_as_before(run.between(END_S + CLOSED_WITHIN_S, np.inf))
    now = system.footprint()
    assert now.num_threads <= held.num_threads + MOST_GROWTH
    assert now.num_descriptors <= held.num_descriptors + MOST_GROWTH


def test_d3_a_killed_retrieval_service_fails_no_request(system: System) -> None:
    rate = 0.7 * system.capacity.full
    strike = [At(BEFORE_S, lambda: system.retrieval.kill())]
    run = load(system.address, system.lane, rate, 4, strike)
    assert run.ok().all(), run.summary(BUDGET_MS)
    during = run.between(BEFORE_S + 0.2, np.inf)
    assert (during.reasons != 0).all(), during.summary(BUDGET_MS)
    system.restart_retrieval()
    settled(system.address, system.lane, LOAD * system.capacity.full)


def test_d5_without_any_dependency_it_answers_from_memory(system: System) -> None:
    def strike() -> None:
        system.redis.proxy.strike(Toxics(refuse=True))
        system.retrieval.kill()

    rate = LOAD * system.capacity.full
    run = load(system.address, system.lane, rate, 6, [At(BEFORE_S, strike)])
    assert run.ok().all(), run.summary(BUDGET_MS)
    during = run.between(BEFORE_S + OPEN_WITHIN_S, np.inf)
    assert (during.tier == Tier.POPULAR).all(), during.summary(BUDGET_MS)
    within = during.server_us / 1e3 <= BUDGET_MS / 4
    assert within.mean() >= long_or_short(0.99, 0.95)
    system.redis.proxy.heal()
    system.restart_retrieval()
