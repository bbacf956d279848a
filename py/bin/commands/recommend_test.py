"""`./stepwell recommend`: what it prints, and what it says when nobody is there."""

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from commands import recommend
from stepwell.base.errors import UnavailableError
from stepwell.client.types import Answer, Reason, Recommendation, ServedBy, Tier

SERVED = ServedBy(
    tier=Tier.REDUCED,
    reasons=(Reason.BACKLOG, Reason.DEADLINE_FEATURES, Reason.BREAKER_STORE),
    coverage=0.8,
    release_id="v000003",
    index_id="00ff",
    stage_us={"ranking": 1_500, "hydrate": 500},
    queue_us=250,
    server_us=2_345,
    feature_age_ms={"user_history": 7_200_000},
    defaulted_features=("user_history",),
    cached_slate_age_ms=1_500,
    event_time_seconds=1_500_000_000,
)
ITEM = Recommendation("i7", 0.25, "OAT MILK", {"ann": 4, "history": 0}, {"bought": 0.5})
ANSWER = Answer("r-1", (ITEM,), SERVED)


def _printed(answer: Answer) -> str:
    console = Console(file=io.StringIO(), width=140)
    recommend.print_answer(answer, "u1", console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize(
    "part",
    [
        "user u1",
        "i7",
        "OAT MILK",
        "0.2500",
        "history 1, ann 5",
        "bought 0.500",
        "REDUCED of release v000003, index 00ff, 2.35 ms in the server (0.25 ms",
        "BACKLOG: requests waiting",
        "DEADLINE_FEATURES: features was late",
        "BREAKER_STORE: the store does not answer",
        "the user's own last slate, 1.5 s old",
        "80% of the asked sources",
        "default used for user_history",
        "user_history is 2.0 h old",
        "1.50 ms",
    ],
)
def test_prints_all_that_the_answer_says(part: str) -> None:
    assert part in _printed(ANSWER)


def test_what_the_caller_says_is_a_name_and_a_number() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    recommend.add_arguments(parser)
    words = ["--user", "1", "--say", "local_hour=20", "local_weekday=4"]
    args = parser.parse_args(words)
    assert dict(args.say) == {"local_hour": 20.0, "local_weekday": 4.0}
    with pytest.raises(argparse.ArgumentError, match="must be NAME=VALUE with a num"):
        parser.parse_args(["--user", "1", "--say", "local_hour"])


def test_says_how_far_behind_the_writers_are_when_features_are_stale() -> None:
    served = replace(SERVED, writer_age_ms={"user_history": 601_000})
    stale = replace(served, reasons=(Reason.STALE_FEATURES,))
    text = "the writer of user_history was level with the log 601 s ago"
    assert text in _printed(replace(ANSWER, served_by=stale))
    assert text not in _printed(replace(ANSWER, served_by=served))


def test_stages_stand_in_the_order_in_which_they_run() -> None:
    text = _printed(ANSWER)
    assert text.index("hydrate ") < text.index("ranking ")


def test_says_why_a_lower_score_may_stand_higher() -> None:
    better = replace(ITEM, score=0.5)
    assert "weighs variety" in _printed(replace(ANSWER, items=(ITEM, better)))
    assert "weighs variety" not in _printed(replace(ANSWER, items=(better, ITEM)))


def test_every_reason_has_a_sentence() -> None:
    known = [reason for reason in Reason if reason]
    assert all(recommend._meaning(reason) for reason in known)


def test_json_has_names_for_numbers() -> None:
    document = json.loads(json.dumps(recommend.as_json(ANSWER)))
    assert document["served_by"]["tier"] == "REDUCED"
    assert document["served_by"]["reasons"][0] == "BACKLOG"
    assert document["items"][0]["source_ranks"] == {"ann": 4, "history": 0}


def _arguments(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    recommend.add_arguments(parser)
    return parser.parse_args(["--user", "u1", *argv])


def test_says_the_next_step_when_no_server_runs_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"no server is running.*stepwell serve"):
        recommend.run(_arguments())


def test_says_the_next_step_when_nobody_answers() -> None:
    arguments = _arguments("--address", "127.0.0.1:1", "--deadline-ms", "500")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1; start one with"):
        recommend.run(arguments)
