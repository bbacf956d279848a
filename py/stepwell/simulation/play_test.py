"""A run's mechanics: the same for the same seed, bounded, honest about failures."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.degradation.tier import Tier
from stepwell.simulation.families import constant
from stepwell.simulation.plain import PLAIN_SERVER, at_load, plain
from stepwell.simulation.play import play
from stepwell.simulation.rivals import RIVALS, FullOnly
from stepwell.simulation.scenario import Fault, Scenario, Spell
from stepwell.simulation.steering import ladder

ALL_ON = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)


def _short(load: float, **changes: object) -> Scenario:
    return replace(at_load(load, 4.0), **changes)  # type: ignore[arg-type]


def test_the_same_scenario_plays_the_same() -> None:
    first, again = (play(_short(1.5), ladder()) for _ in range(2))
    assert (first.latency_us == again.latency_us).all()
    assert (first.tier == again.tier).all()


def test_every_steering_sees_the_same_requests() -> None:
    runs = [play(_short(0.8), make) for make in RIVALS.values()]
    assert all((run.arrived_us == runs[0].arrived_us).all() for run in runs)


def test_an_idle_server_answers_in_the_service_time() -> None:
    server = replace(PLAIN_SERVER, sigma=0.0, overhead_us=0)
    run = play(replace(plain("idle", 20.0, constant(5.0)), server=server), FullOnly)
    assert np.quantile(run.latency_us, 0.5) == 3_000
    assert run.share(Tier.FULL) == 1.0


def test_with_full_alone_overload_ends_in_nothing() -> None:
    run = play(_short(3.0), FullOnly)
    assert run.answered_ratio < 0.7
    assert run.in_budget_ratio < 0.2


def test_a_late_request_steps_down_in_flight_where_the_server_can() -> None:
    slow = Spell(0, 4_000_000, Fault.SLOWER, (Tier.FULL,), factor=10.0)
    run = play(_short(0.2, spells=(slow,)), RIVALS["global p99 switch"])
    first = run.tier[run.arrived_us < 900_000]
    assert (first == Tier.FULL).mean() < 0.1
    kept = play(_short(0.2, spells=(slow,)), FullOnly)
    assert (kept.tier[kept.arrived_us < 900_000] == Tier.FULL).any()


def test_without_its_store_the_ladder_answers_from_memory_and_comes_back() -> None:
    dead = Spell(1_000_000, 2_000_000, Fault.DEAD_STORE)
    run = play(replace(at_load(0.5, 8.0), spells=(dead,)), ladder())
    assert run.in_budget_ratio == 1.0
    during = run.tier[(run.arrived_us >= 1_200_000) & (run.arrived_us < 2_000_000)]
    assert (during == Tier.POPULAR).all()
    assert (run.tier[run.arrived_us >= 7_000_000] == Tier.FULL).mean() > 0.9


def test_threads_and_processes_multiply_what_is_served() -> None:
    one = _short(1.8)
    server = replace(PLAIN_SERVER, processes=2, threads=2)
    assert play(one, ladder()).share(Tier.FULL) < 0.7
    assert play(replace(one, server=server), ladder()).share(Tier.FULL) > 0.9


def test_a_batch_waits_for_others_no_longer_than_its_delay() -> None:
    server = replace(
        PLAIN_SERVER, sigma=0.0, overhead_us=0, batch_size=4, batch_delay_us=2_000
    )
    run = play(replace(plain("idle", 10.0, constant(5.0)), server=server), FullOnly)
    assert np.quantile(run.latency_us, 0.5) == 5_000


@pytest.mark.parametrize(("attempts", "least", "most"), [(1, 1.0, 1.0), (3, 1.5, 3.0)])
def test_callers_who_got_nothing_come_back_as_often_as_they_may(
    attempts: int, least: float, most: float
) -> None:
    run = play(_short(4.0, max_attempts=attempts), RIVALS["Vegas limit"])
    assert least <= run.num_attempts.mean() <= most
    assert run.num_attempts.max() == attempts


def test_the_ladder_tells_f_and_a_rival_none() -> None:
    run = play(_short(0.5), ladder())
    assert all(0.3 <= fit <= 1.0 for _, fit in run.fit)
    assert len(run.fit) > 30
    assert play(_short(0.5), FullOnly).fit == ()


def test_a_run_without_requests_is_empty() -> None:
    run = play(plain("nobody", 1.0, constant(0.0)), ladder())
    assert len(run) == 0
    assert run.in_budget_ratio == 1.0
    assert all(run.share(tier) == 0.0 for tier in ALL_ON)
