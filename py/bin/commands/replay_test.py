import argparse
from collections import Counter
from pathlib import Path

import pytest

from commands import replay
from log_replayer import ReplayReport
from stepwell.serving.replay import Difference, Replayed

SCORE = Difference("score", "score", 2, "milk", "0.5", "0.25")
DIFFERENT = Replayed("r1", "v000001", 40, (SCORE,))


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    replay.add_arguments(parser)
    return parser.parse_args(words)


def test_a_difference_is_told_with_its_place_and_both_values() -> None:
    text = replay.text_of_one(DIFFERENT)
    assert "request r1 of release v000001: DIFFERENT" in text
    assert "score of place 3 (milk): logged 0.5, now 0.25" in text


def test_the_sum_names_what_was_not_replayed_and_why() -> None:
    report = ReplayReport(not_replayed=Counter({"the release is gone": 7}))
    report.add(DIFFERENT)
    report.add(Replayed("r2", "v000001", 40))
    text = replay.text_of_all(report, 1.25)
    assert "2 requests replayed in 1.2 s: 1 different; 80 features compared" in text
    assert "7 not replayed: the release is gone" in text
    assert "request r1" in text
    assert "request r2" not in text


def test_a_log_without_replayable_requests_says_so() -> None:
    assert "no request of the log" in replay.text_of_all(ReplayReport(), 0.1)


def test_one_request_or_all_must_be_asked_for() -> None:
    with pytest.raises(SystemExit):
        arguments()
    with pytest.raises(SystemExit):
        arguments("r1", "--all")


def test_a_limit_belongs_to_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(tmp_path / "events.lmdb")
    assert replay.run(arguments("r1", "--limit", "5", "--event-log", log)) == 1
    assert "--limit goes with --all" in capsys.readouterr().err
    assert replay.run(arguments("--all", "--limit", "0", "--event-log", log)) == 1
    assert "limit is 0" in capsys.readouterr().err


def test_an_empty_log_replays_nothing_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(tmp_path / "events.lmdb")
    words = ("--event-log", log, "--registry", str(tmp_path))
    assert replay.run(arguments("--all", *words)) == 1
    assert replay.run(arguments("r1", *words)) == 1
    assert "no impression of request r1" in capsys.readouterr().err
