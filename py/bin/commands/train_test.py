"""`./stepwell train`: from arguments to settings."""

import argparse

import pytest

from commands import train
from stepwell.training.training_config import QUICK


def _parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(arguments)


def test_without_arguments_trains_the_quick_preset() -> None:
    assert train.config_of(_parsed()) == QUICK.seeded(0)


def test_the_interaction_reaches_the_full_ranker() -> None:
    config = train.config_of(_parsed("--interaction", "cross"))
    assert config.ranker.interaction == "cross"


def test_an_unknown_interaction_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        _parsed("--interaction", "sum")
    assert "choose from 'dot', 'cross'" in capsys.readouterr().err
