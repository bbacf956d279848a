"""The ladder benchmark's runs, rows, files and figures; nothing is served here."""

import json
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis

from bench.ladder_costs import (
    MAX_OVERHEAD,
    ServerThread,
    cost_rows,
    cpu_us,
    used_seconds,
)
from bench.ladder_faults import KillableRedis, paused
from bench.ladder_limits import rows_of as limit_rows_of
from bench.ladder_plan import (
    LONG,
    QUICK,
    SHORT,
    Chaos,
    Lengths,
    overload_groups,
    plan_text,
    planned_seconds,
)
from bench.ladder_plot import figure, write_plots
from bench.ladder_rivals import CAPPED, ENVOY, OURS, PLAIN
from bench.ladder_rivals import rows_of as rival_rows_of
from bench.ladder_runs import Played, Rig, file_name, judge, not_void, rows_of
from capacity import Capacity
from limit_breaches import Breach
from load_run import LoadRun
from load_run_fixture import run_of
from scenarios import SCENARIOS, Setting
from slo import SECONDS_AFTER_TROUBLE, SLOS, Finding
from utility import TierValues

USERS = ["u1", "u2"]
CAPACITY = Capacity(200.0, 800.0, 4_000.0)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig("127.0.0.1:1", CAPACITY, TierValues(), tmp_path, lambda _: None)


def overload_runs(lengths: Lengths) -> list[Chaos]:
    groups = overload_groups(USERS, lengths, pid=0)
    return [run for group in groups for run in group.runs(CAPACITY)]


def chaos(slo: str = "half", scenario: str = "steady") -> Chaos:
    return Chaos("O1, 0.5 x C0", slo, Setting(100.0, 3.0, USERS), scenario)


def test_every_overload_row_has_its_run_and_its_limits() -> None:
    runs = overload_runs(QUICK)
    assert {run.slo for run in runs if run.slo} == set(SLOS)
    assert all(run.scenario in SCENARIOS for run in runs)
    assert len({file_name(run.name) for run in runs}) == len(runs)
    assert len({run.setting.seed for run in runs}) == len(runs)
    assert [run.setting.rate for run in runs[:5]] == [100, 180, 300, 400, 600]
    names = [run.name for run in runs]
    assert all(
        names.index(run.calm) < names.index(run.name) for run in runs if run.calm
    )


def test_interactive_calls_could_all_be_answered_and_the_row_says_why() -> None:
    runs = overload_runs(QUICK)
    (one,) = [run for run in runs if run.slo == "priorities"]
    work = SCENARIOS[one.scenario].build(replace(one.setting, seconds=5.0))
    interactive = (work.schedule.lane == 0).sum() / 5.0
    assert interactive == pytest.approx(0.9 * CAPACITY.popular, rel=0.05)
    assert len(work.schedule) / 5.0 == pytest.approx(1.8 * CAPACITY.popular, rel=0.05)
    run = run_of([5.0] * 10, lane=[0, 1] * 5, lane_names=("interactive", "batch"))
    (row,) = rows_of(one, run, [Finding("share in budget", 1.0, 0.99, at_most=False)])
    assert "O8 says 3 x C2" in row.work


@pytest.mark.parametrize("lengths", [SHORT, LONG])
def test_what_is_judged_after_a_trouble_comes_after_it(lengths: Lengths) -> None:
    for run in overload_runs(lengths):
        after_s = run.setting.seconds - run.setting.trouble[1]
        if run.slo == "forgotten":
            assert after_s >= lengths.recovery + 4.0
        elif run.slo in SECONDS_AFTER_TROUBLE:
            assert after_s >= SECONDS_AFTER_TROUBLE[run.slo]


def test_the_plan_is_said_in_minutes_and_is_the_sum_of_its_parts() -> None:
    total = sum(planned_seconds(LONG).values())
    assert 40 * 60 < total < 60 * 60
    assert f"{total / 60:.0f} minutes" in plan_text(LONG)
    assert sum(planned_seconds(SHORT).values()) < 8 * 60


def all_become(processes: list[psutil.Process], stopped: bool) -> bool:
    """A signal takes its time; asks for some seconds."""
    pause = threading.Event()
    for _ in range(500):
        found = [one.status() == psutil.STATUS_STOPPED for one in processes]
        if found == [stopped] * len(processes):
            return True
        pause.wait(0.01)
    return False


def test_a_stopped_server_stands_still_with_all_its_children() -> None:
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        processes = [psutil.Process(pid) for pid in (parent.pid, child)]
        fault = paused(parent.pid)
        fault.begin()
        stood_still = all_become(processes, stopped=True)
        fault.end()
        went_on = all_become(processes, stopped=False)
        for process in processes:
            process.kill()
    assert stood_still
    assert went_on


def test_a_redis_that_was_away_has_its_data_again(tmp_path: Path) -> None:
    server = KillableRedis(tmp_path / "redis")
    client = redis.Redis.from_url(server.url)
    client.set("key", "value")
    fault = server.away()
    fault.begin()
    with pytest.raises(redis.ConnectionError):
        client.get("key")
    fault.end()
    assert client.get("key") == b"value"
    client.close()
    server.kill()
    server.kill()


def test_a_run_leaves_rows_and_a_file_with_its_seed(rig: Rig) -> None:
    played, one = Played(), chaos()
    run = run_of([5.0] * 99 + [25.0], tier=[1] * 99 + [3])
    judge(rig, one, SCENARIOS["steady"].build(one.setting), run, played)
    assert [row.holds for row in played.rows] == [True, False, True]
    document = json.loads((rig.folder / "o1-0.5-x-c0.json").read_text())
    assert document["seed"] == one.setting.seed
    assert document["summary"]["num_calls"] == 100
    assert [finding["holds"] for finding in document["findings"]] == [True, False, True]


def test_a_void_run_holds_nothing() -> None:
    run = run_of([5.0], void="the generator starved")
    (row,) = rows_of(chaos(), run, [Finding("p99, ms", 1.0, 20.0, at_most=True)])
    assert not row.holds
    assert "starved" in row.bar


def test_a_void_run_is_repeated_once() -> None:
    made: list[LoadRun] = []

    def attempt(void: str) -> LoadRun:
        made.append(run_of([5.0], void=void))
        return made[-1]

    assert not_void(lambda: attempt("late")).void == "late"
    assert len(made) == 2
    assert not not_void(lambda: attempt("")).void
    assert len(made) == 3


def test_rivals_are_beaten_by_what_was_promised_and_no_less() -> None:
    def rows(ours: int, plain: int, envoy: int) -> list[bool]:
        counts = {OURS: ours, PLAIN: plain, CAPPED: 90, ENVOY: envoy}
        runs = {
            name: [run_of([5.0] * good + [25.0] * (100 - good))]
            for name, good in counts.items()
        }
        return [row.holds for row in rival_rows_of(runs, 1.0)]

    assert rows(80, 40, 60) == [True, True]
    assert rows(80, 41, 60) == [False, True]
    assert rows(80, 40, 62) == [False, True]


def test_one_error_of_ours_beside_rivals_falls_short() -> None:
    runs = {name: [run_of([5.0] * 9)] for name in (PLAIN, CAPPED, ENVOY)}
    runs[OURS] = [run_of([5.0] * 90, status=[8] + [0] * 89)]
    assert not rival_rows_of(runs, 1.0)[1].holds


def test_a_refusal_is_held_against_its_time_and_what_it_leaves_behind() -> None:
    broken = [Breach("small", "/m", b"x"), Breach("large", "/m", bytes(5_000))]

    def holds(small_ms: float, large_ms: float, grown: int) -> list[bool]:
        return [row.holds for row in limit_rows_of(broken, [small_ms, large_ms], grown)]

    assert holds(0.3, 0.9, 2**20) == [True, True, True]
    assert holds(1.1, 0.9, -5) == [False, True, True]
    assert holds(0.3, 1.1, 2**20 + 1) == [True, False, False]
    named = limit_rows_of([*broken, Breach("slow", "/m", b"")], [0.1, 0.2, 0.3], 0)
    assert "slowest is slow" in named[0].work


def test_the_ladders_share_of_a_request_is_held_against_its_limit() -> None:
    costs = cost_rows(full_cpu_ms=3.0)
    share = costs[-1]
    assert share.bar == f"<= {MAX_OVERHEAD:g} share"
    assert not cost_rows(full_cpu_ms=0.01)[-1].holds


def test_the_cost_of_a_call_is_its_processor_time() -> None:
    assert 0 < cpu_us(lambda: None) < cpu_us(lambda: sum(range(200)))


def test_processor_time_is_split_by_what_the_threads_do() -> None:
    main, front, worker, log = (
        ServerThread(2, 2, "python"),
        ServerThread(2, 3, "front"),
        ServerThread(2, 4),
        ServerThread(2, 5),
    )
    supervisor = ServerThread(1, 1)
    before = {supervisor: 5.0, main: 1.0, front: 1.0, worker: 1.0}
    after = {supervisor: 5.0, main: 2.0, front: 9.0, worker: 5.0, log: 0.5}
    used = used_seconds(before, after)
    assert list(used.values()) == pytest.approx([4.0, 8.0, 1.0, 0.5])


def test_a_spike_is_drawn(rig: Rig) -> None:
    played = Played()
    one = Chaos("O4, spike", "burst", Setting(300.0, 3.0, USERS), "spike")
    run = run_of([5.0] * 300, tier=[1, 2, 3] * 100)
    judge(rig, one, SCENARIOS["spike"].build(one.setting), run, played)
    write_plots(rig.folder, rig.folder)
    drawn = ElementTree.parse(rig.folder / "ladder_spike.svg").getroot()
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}svg"))) == 1 + 3
    text = figure(json.loads((rig.folder / "o4-spike.json").read_text()))
    for tier in ("FULL", "REDUCED", "POPULAR"):
        assert tier in text
