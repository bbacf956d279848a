"""`./stepwell ladder`: what words become, and what is printed."""

import io

import pytest
from rich.console import Console

from commands import ladder
from stepwell.base.errors import InvalidArgumentError
from stepwell_pb.v1 import admin_pb2, common_pb2


def test_words_become_the_constants_they_name() -> None:
    words = ["latency_budget_us=20000", "trim.low_ppm=1", "breakers.store.min_calls=7"]
    request = ladder.request_of(words, "why")
    assert request.reason == "why"
    assert request.ladder.latency_budget_us == 20_000
    assert request.ladder.trim.low_ppm == 1
    assert not request.ladder.trim.HasField("high_ppm")
    assert request.breakers["store"].min_calls == 7


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("trim.low_ppm", "no KEY=VALUE"),
        ("trim.low_ppm=0.3", "whole number"),
        ("trim.lowest=3", "beside it are: interval_us, low_ppm"),
        ("trims.low_ppm=3", "parts are: breakers, policy, trim, cost"),
        ("trim=3", "has parts"),
        ("breakers.store.colour=3", "beside it are: slow_call_us"),
    ],
)
def test_a_word_that_names_nothing_is_an_error(word: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        ladder.request_of([word], "why")


def test_prints_constants_by_the_names_that_set_takes() -> None:
    status = admin_pb2.GetStatusResponse(
        forced_tier=common_pb2.TIER_POPULAR,
        ladder=admin_pb2.LadderConstants(
            latency_budget_us=5, trim=admin_pb2.TrimConstants(low_ppm=3)
        ),
        workers=[admin_pb2.WorkerStatus(worker=1, pid=9, state="SERVING")],
        breakers=[
            admin_pb2.BreakerStatus(
                name="store",
                state="OPEN",
                constants=admin_pb2.BreakerConstants(min_calls=7),
            )
        ],
    )
    console = Console(file=io.StringIO(), width=100)
    ladder.print_status(status, console)
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.strip() for line in printed.splitlines()]
    for line in (
        "forced   popular",
        "worker 1  serving  pid 9  restarts 0  waiting 0",
        "breaker store  open",
        "trim.low_ppm=3",
        "breakers.store.min_calls=7",
    ):
        assert line in lines
