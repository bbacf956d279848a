"""A training and its evaluation through the real serving path, by the commands."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cold_measurement import ACQUAINTANCES
from commands import evaluate, train
from stepwell.degradation.tier import Tier
from stepwell.training.co_occurrence import CoOccurrenceOptions
from stepwell.training.datasets_generated import GeneratedOptions, write_generated
from stepwell.training.distill import DistillOptions
from stepwell.training.ranker_trainer import TrainerOptions
from stepwell.training.ranker_training import RankerTraining
from stepwell.training.retrieval_training import AS_OF
from stepwell.training.training_config import PRESETS, TrainingConfig

RETRIEVAL = replace(
    AS_OF, co_occurrence=CoOccurrenceOptions(regularisation=20.0, rank=16)
)
TINY = TrainingConfig(
    retrieval=RETRIEVAL,
    as_of=RETRIEVAL,
    num_snapshots=1,
    ranker=RankerTraining(
        bottom_widths=(16,), trainer=TrainerOptions(epochs=3, queries_per_step=8)
    ),
    distill=DistillOptions(num_requests=80, trainer=TrainerOptions(epochs=3)),
)
Command = Callable[..., int]
TIERS = ("full", "reduced")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("shop")) / "dataset"
    folder.mkdir()
    options = GeneratedOptions(num_users=120, num_items=300, events_per_user=60)
    write_generated(folder, options)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """The release folder that `train` made, with a preset that takes seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(PRESETS, "quick", TINY)
        assert _run(train, "--data", str(data), "--period-days", "21") == 0
    return data.parent / "training" / "trained"


def _run(command: object, *argv: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    return int(command.run(parser.parse_args(argv)))  # type: ignore[attr-defined]


def test_train_scores_every_tier_through_the_serving_path(trained: Path) -> None:
    card = json.loads((trained / "model_card.json").read_text())
    ways = {"full", "full_diverse", "reduced", "popular", "popular_cached"}
    cold = {f"{tier}_{known.name}" for tier in TIERS for known in ACQUAINTANCES}
    ways |= {"popular_new_user", "full_stale", "reduced_stale", *cold}
    assert set(card["quality"]) == set(card["cost_us"]) == ways
    quality = {name: entry["ndcg_at_10"] for name, entry in card["quality"].items()}
    assert quality["full"] > 1.5 * quality["popular"]
    assert quality["reduced"] > quality["popular"]
    # Who is better known is served better.
    known = [quality[f"full_{one.name}"] for one in ACQUAINTANCES]
    assert known[0] < known[-1]
    assert quality["popular_new_user"] > 0
    # What is stale is not used, however much there is of it.
    assert quality["full_stale"] < known[-1]
    # The user's own last slate is what FULL answered a moment ago.
    for name in ("ndcg_at_10", "ndcg_at_10_new", "recall_at_500"):
        cached, full = (
            card["quality"][way][name] for way in ("popular_cached", "full")
        )
        assert cached == full
    cost = {name: entry["mean"] for name, entry in card["cost_us"].items()}
    assert cost["popular"] < cost["reduced"] < cost["full"]


def test_evaluate_finds_the_figures_of_the_card_again(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = tmp_path / "lists.parquet"
    status = _run(
        evaluate,
        *("--data", str(data), "--tier", "full", "--json"),
        *("--export", str(lists), "--period-days", "21"),
    )
    assert status == 0
    document = json.loads(capsys.readouterr().out)
    card = json.loads((trained / "model_card.json").read_text())
    assert document["quality"] == {"full": card["quality"]["full"]}
    frame = pl.read_parquet(lists)
    assert frame["user"].n_unique() == card["quality"]["full"]["num_users"]
    assert max(frame.group_by("user").len()["len"].to_list()) <= 500


def test_evaluate_refuses_time_that_the_release_has_seen(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("--data", str(data), "--split", "validation", "--period-days", "21")
    assert trained.is_dir()
    assert _run(evaluate, *argv) == 1
    assert "train with --split validation" in capsys.readouterr().err


def test_evaluate_refuses_other_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_generated(tmp_path, GeneratedOptions(num_users=100, num_items=90))
    argv = ("--data", str(tmp_path), "--release", str(trained))
    assert _run(evaluate, *argv, "--period-days", "21") == 1
    assert "trained from other data" in capsys.readouterr().err


def test_commands_say_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(train, "--data", str(tmp_path)) == 1
    assert "has neither events.parquet nor events.csv" in capsys.readouterr().err
    assert _run(evaluate, "--data", str(tmp_path)) == 1
    assert "run: ./stepwell train" in capsys.readouterr().err


def test_train_refuses_a_seed_out_of_range(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(train, "--data", str(data), "--seed", "-1") == 1
    assert "seed is -1, must be in [0, " in capsys.readouterr().err


def test_the_cached_slate_is_asked_after_full_has_answered() -> None:
    names = [way.name for way in evaluate.ways_of("all", None)]
    assert names.index("popular") < names.index("full") < names.index("popular_cached")
    alone = evaluate.ways_of("popular_cached", Path("lists.parquet"))
    assert [(way.tier, way.export is not None) for way in alone] == [
        (Tier.FULL, False),
        (Tier.POPULAR, True),
    ]
