"""`./stepwell load`: its server, its users, its table, its exit status."""

import argparse
import io
import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import NoReturn

import grpc
import polars as pl
import pytest
from rich.console import Console

from capacity import Capacity
from commands import load, load_open_loop
from journeys import STEPS
from load_run import LoadRun
from load_run_fixture import run_of
from project_state import ProjectState
from ranker_process import RankerProcess
from report import Report
from slo import Situation, findings
from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from stepwell.client.types import Reason
from stepwell.releases.source import DirectorySource
from stepwell_pb.v1 import (
    feedback_pb2,
    feedback_pb2_grpc,
    recommend_pb2,
    recommend_pb2_grpc,
)


class Shop(
    recommend_pb2_grpc.RecommendServiceServicer,
    feedback_pb2_grpc.FeedbackServiceServicer,
):
    """Answers at once: two items, tier FULL."""

    def __init__(self) -> None:
        self.user_ids: set[str] = set()

    def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: grpc.ServicerContext
    ) -> recommend_pb2.RecommendResponse:
        self.user_ids.add(request.user_id)
        response = recommend_pb2.RecommendResponse(request_id="r")
        response.items.add(item_id="a")
        response.items.add(item_id="b")
        response.served_by.tier = 1  # type: ignore[assignment]
        return response

    def Rank(
        self, request: recommend_pb2.RankRequest, context: grpc.ServicerContext
    ) -> recommend_pb2.RankResponse:
        return recommend_pb2.RankResponse()

    def LogEvents(
        self, request: feedback_pb2.LogEventsRequest, context: grpc.ServicerContext
    ) -> feedback_pb2.LogEventsResponse:
        return feedback_pb2.LogEventsResponse(num_stored=len(request.events))


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    recommend_pb2_grpc.add_RecommendServiceServicer_to_server(shop, server)
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(shop, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    return tmp_path


def _arguments(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    load.add_arguments(parser)
    return parser.parse_args(argv)


def test_says_the_next_step_when_there_is_neither_server_nor_release() -> None:
    with pytest.raises(NotFoundError, match="no release; start one with"):
        load.run(_arguments())
    with pytest.raises(NotFoundError, match="no release of generated"):
        load.run(_arguments("--data", "generated"))


def test_a_server_that_it_starts_plans_for_the_budget_and_takes_more_flags(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".stepwell" / "generated" / "registry" / "v000001").mkdir(parents=True)
    started = []

    def start(state: ProjectState, flags: list[str]) -> NoReturn:
        started.extend(flags)
        raise UnavailableError("enough seen")

    monkeypatch.setattr(DirectorySource, "versions", lambda _: ["v000001"])
    monkeypatch.setattr(RankerProcess, "start", start)
    arguments = _arguments(
        *("--data", "generated", "--budget-ms", "35"),
        *("--ranker-flag=--workers=2", "--ranker-flag=--threads=3"),
    )
    with pytest.raises(UnavailableError, match="enough seen"):
        load.run(arguments)
    assert started == ["--latency_budget_ms=35", "--workers=2", "--threads=3"]


def test_locust_plays_the_journeys_and_they_are_reported_like_any_run(
    address: str, root: Path
) -> None:
    page, report = root / ".stepwell" / "load.html", root / "load.json"
    status = load.run(
        _arguments(
            *("--address", address, "--users", "4", "--seconds", "2"),
            *("--think-ms", "5", "--json", str(report), "--deadline-ms", "9000"),
        )
    )
    assert status == 0
    document = json.loads(report.read_text())
    assert {"browse", "all"} <= set(document["lanes"])
    assert set(document["lanes"]) <= {*STEPS, "all"}
    everything = document["lanes"]["all"]
    assert set(everything["statuses"]) == {"OK"}
    assert everything["num_calls"] >= 1
    assert "saw another slate" in document["facts"]["returns"]
    assert page.read_text().count("<svg") == 4


@pytest.mark.parametrize(
    ("flag", "value"), [("--scenario", "spike"), ("--slo", "flood")]
)
def test_people_who_wait_make_no_open_loop(flag: str, value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{flag} {value} needs --rate"):
        load.run(_arguments("--address", "x:1", flag, value))


def test_locust_that_cannot_run_is_an_error_that_says_why(address: str) -> None:
    arguments = _arguments("--address", address)
    arguments.users = "many"
    with pytest.raises(FailedPreconditionError, match=r"locust ended with 2.*many"):
        load.run(arguments)


def test_the_open_loop_asks_for_users_of_the_data_set(
    address: str, shop: Shop, root: Path
) -> None:
    dataset = root / ".stepwell" / "generated" / "dataset"
    dataset.mkdir(parents=True)
    events = pl.DataFrame({"user_id": ["u2", "u1", "u2"], "item_id": [7, 8, 7]})
    events.write_parquet(dataset / "events.parquet")
    calls = root / "calls.npz"
    arguments = _arguments(
        *("--address", address, "--data", "generated", "--calls", str(calls)),
        *("--rate", "40", "--seconds", "1", "--deadline-ms", "2000"),
        *("--priorities", "interactive=0.5,batch=0.5"),
    )
    load.run(arguments)
    assert shop.user_ids == {"u1", "u2"}
    run = LoadRun.load(calls)
    assert run.lane_names == ("interactive", "batch")
    assert run.status_counts() == {"OK": len(run)}


def test_a_rate_with_an_x_is_a_multiple_of_the_measured_capacity(
    address: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Capacity(full=10.0, reduced=20.0, popular=90.0)
    monkeypatch.setattr(load_open_loop, "calibrate", lambda *_: measured)
    report = root / "load.json"
    load.run(
        _arguments(
            *("--address", address, "--rate", "3x", "--seconds", "2"),
            *("--scenario", "spike", "--json", str(report), "--slo", "overload"),
        )
    )
    document = json.loads(report.read_text())
    assert document["capacity"] == {"full": 10, "reduced": 20, "popular": 90}
    # 5 a second, then 30 for a third of the run, then 5 again.
    assert 10 <= document["lanes"]["all"]["num_calls"] <= 45
    assert document["title"] == "spike, 3x, 2 s"
    assert document["trouble_s"] == pytest.approx([2 / 3, 4 / 3])
    assert document["slo"] == "overload"


def test_a_trace_is_played_as_it_was(address: str, root: Path) -> None:
    arrivals, report = root / "trace.txt", root / "load.json"
    arrivals.write_text("7.0\n7.1\n7.3\n")
    load.run(
        _arguments(
            *("--address", address, "--trace", str(arrivals), "--json", str(report))
        )
    )
    assert json.loads(report.read_text())["lanes"]["all"]["num_calls"] == 3


def test_a_fault_needs_its_commands_and_one_that_fails_is_an_error(
    address: str,
) -> None:
    scenario = ("--scenario", "dead-dependency")
    fault = ("--address", address, "--rate", "20", "--seconds", "0.6", *scenario)
    with pytest.raises(InvalidArgumentError, match="needs --fault-begin"):
        load.run(_arguments(*fault))
    commands = ("--fault-begin", "true", "--fault-end", "false")
    with pytest.raises(FailedPreconditionError, match="'false' ended with 1"):
        load.run(_arguments(*fault, *commands))


@pytest.mark.parametrize(
    ("slo", "scenario", "words"),
    [
        ("burst", "steady", "needs a scenario with trouble"),
        ("burst", "spike", r"--seconds is 15, must be >= 18"),
        ("priorities", "hot-user", "needs calls of the kind interactive"),
        ("heavy", "steady", "needs calls of the kind heavy"),
    ],
)
def test_limits_that_could_judge_nothing_are_refused_before_the_run(
    slo: str, scenario: str, words: str
) -> None:
    arguments = _arguments(
        *("--address", "x:1", "--rate", "9", "--seconds", "15"),
        *("--slo", slo, "--scenario", scenario),
    )
    with pytest.raises(InvalidArgumentError, match=words):
        load.run(arguments)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rate", "0x"),
        ("--rate", "fast"),
        ("--priorities", "urgent=1"),
        ("--priorities", "interactive=0.5"),
        ("--scenario", "meteor"),
    ],
)
def test_wrong_arguments_are_refused(flag: str, value: str) -> None:
    with pytest.raises(SystemExit):
        _arguments(flag, value)


@pytest.mark.parametrize(
    ("run", "slo", "status"),
    [
        (run_of([5.0] * 100), None, 0),
        (run_of([5.0] * 100), "half", 0),
        (run_of([5.0] * 100, tier=[3] * 10 + [1] * 90), "half", 1),
        (run_of([5.0] * 100, void="late"), None, 1),
    ],
)
def test_exit_status_is_one_when_a_limit_breaks_or_the_run_is_void(
    monkeypatch: pytest.MonkeyPatch, run: LoadRun, slo: str | None, status: int
) -> None:
    monkeypatch.setattr(load_open_loop, "generate", lambda *_, **__: run)
    arguments = _arguments("--address", "x:1", "--rate", "9")
    arguments.slo = slo
    assert load.run(arguments) == status


@pytest.mark.parametrize(
    "part",
    ["spike on h:1", "25.00", "FULL 90.0%", "BACKLOG 5", "UNAVAILABLE 1", "BREAKS"],
)
def test_prints_rate_latency_tiers_reasons_and_errors(part: str) -> None:
    run = run_of(
        [25.0] * 101,
        tier=[2] * 10 + [1] * 91,
        status=[0] * 100 + [14],
        reasons=[1 << Reason.BACKLOG] * 5 + [0] * 96,
    )
    situation = Situation(20.0, Capacity(1, 2, 3))
    judged = tuple(findings("half", run, situation))
    console = Console(file=io.StringIO(), width=120)
    load.print_report(Report("spike", run, situation, "half", judged), "h:1", console)
    assert part in console.file.getvalue()  # type: ignore[attr-defined]
