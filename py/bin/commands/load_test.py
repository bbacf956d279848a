"""`./stepwell load`: its server, its users, its table, its exit status."""

import argparse
import io
import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import polars as pl
import pytest
from rich.console import Console

from commands import load
from stepwell.base.errors import FailedPreconditionError, NotFoundError
from stepwell_pb.v1 import (
    feedback_pb2,
    feedback_pb2_grpc,
    recommend_pb2,
    recommend_pb2_grpc,
)
from tally import JourneyReport, LoadReport


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


def test_locust_plays_the_journeys_and_writes_its_page(
    address: str, root: Path
) -> None:
    page, report = root / ".stepwell" / "load.html", root / "load.json"
    status = load.run(
        _arguments(
            *("--address", address, "--users", "4", "--seconds", "2"),
            *("--think-ms", "5", "--json", str(report)),
        )
    )
    assert status == 0
    document = json.loads(report.read_text())
    assert {row["name"] for row in document["journeys"]} == {
        "browse",
        "rank",
        "click",
        "all",
    }
    assert document["errors"] == {}
    assert document["tiers"]["FULL"] > 10
    assert "<html" in page.read_text()[:200]


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
    events = pl.DataFrame({"user_id": ["u2", "u1", "u2"]})
    events.write_parquet(dataset / "events.parquet")
    arguments = _arguments(
        *("--address", address, "--data", "generated"),
        *("--rate", "40", "--seconds", "1", "--deadline-ms", "2000"),
    )
    load.run(arguments)
    assert shop.user_ids == {"u1", "u2"}


@pytest.mark.parametrize(
    ("tiers", "void", "slo", "status"),
    [
        ({"FULL": 100}, "", None, 0),
        ({"FULL": 100}, "", "half", 0),
        ({"FULL": 90, "POPULAR": 10}, "", "half", 1),
        ({"FULL": 100}, "late", None, 1),
    ],
)
def test_exit_status_is_one_when_a_limit_breaks_or_the_run_is_void(
    monkeypatch: pytest.MonkeyPatch,
    tiers: dict[str, int],
    void: str,
    slo: str | None,
    status: int,
) -> None:
    report = _report(tiers, void)
    monkeypatch.setattr(load, "_run_locust", lambda *_: report)
    arguments = _arguments("--address", "x:1", *(("--slo", slo) if slo else ()))
    assert load.run(arguments) == status


def _report(tiers: dict[str, int], void: str = "", num_errors: int = 0) -> LoadReport:
    row = JourneyReport("all", 100, num_errors, 10.0, 5.0, 19.0, 30.0)
    errors = {"UNAVAILABLE": num_errors} if num_errors else {}
    return LoadReport(10.0, (row,), tiers, {"BACKLOG": 5}, errors, void)


@pytest.mark.parametrize(
    "part", ["10 s on h:1", "19.00", "FULL 90 (90.0%)", "BACKLOG 5 (5.0%)", "UNAVAIL"]
)
def test_prints_rate_latency_tiers_reasons_and_errors(part: str) -> None:
    console = Console(file=io.StringIO(), width=120)
    report = _report({"FULL": 90, "REDUCED": 10}, num_errors=1)
    load.print_report(report, "h:1", console)
    assert part in console.file.getvalue()  # type: ignore[attr-defined]
