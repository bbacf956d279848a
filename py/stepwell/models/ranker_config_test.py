"""The config file of the rankers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.models.ranker_config import (
    RANKER_CONFIG_NAME,
    DenseColumn,
    RankerConfig,
)
from stepwell.models.ranker_config_fixture import MODEL

CONFIG = RankerConfig(
    ("department",), ("department",), "0" * 64, MODEL, replace(MODEL, top_widths=())
)


def test_loads_what_was_saved(tmp_path: Path) -> None:
    CONFIG.save(tmp_path)
    assert RankerConfig.load(tmp_path) == CONFIG


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), 2),
        (("unknown",), 1),
        (("full", "unknown"), 1),
        (("full", "embedding_dim"), 0),
        (("full", "dense"), []),
        (("full", "dense", 0, "scale"), 0.0),
        (("full", "dense", 0, "transform"), "cube"),
        (("full", "sparse", 0, "num_rows"), 2**40),
        (("full", "objectives"), None),
        (("full", "interaction"), "product"),
        (("full", "cross_layers"), 0),
        (("full", "cross_rank"), 0),
    ],
)
def test_refuses_a_field_that_is_unknown_or_out_of_range(
    tmp_path: Path, path: tuple[str | int, ...], value: object
) -> None:
    CONFIG.save(tmp_path)
    file = tmp_path / RANKER_CONFIG_NAME
    document = json.loads(file.read_text())
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(document))
    with pytest.raises(DataLossError, match=RANKER_CONFIG_NAME):
        RankerConfig.load(tmp_path)


def test_a_config_from_before_the_choice_of_interaction_means_dots(
    tmp_path: Path,
) -> None:
    CONFIG.save(tmp_path)
    file = tmp_path / RANKER_CONFIG_NAME
    document = json.loads(file.read_text())
    for model in ("full", "reduced"):
        for key in ("interaction", "cross_layers", "cross_rank"):
            del document[model][key]
    file.write_text(json.dumps(document))
    assert RankerConfig.load(tmp_path) == CONFIG
    assert CONFIG.full.interaction == "dot"


def test_a_config_from_before_there_were_views_takes_none(tmp_path: Path) -> None:
    replace(CONFIG, views=("user_activity",)).save(tmp_path)
    assert RankerConfig.load(tmp_path).views == ("user_activity",)
    file = tmp_path / RANKER_CONFIG_NAME
    document = json.loads(file.read_text())
    del document["views"]
    file.write_text(json.dumps(document))
    assert RankerConfig.load(tmp_path) == CONFIG


def test_the_interaction_is_kept(tmp_path: Path) -> None:
    crossed = replace(MODEL, interaction="cross", cross_layers=3, cross_rank=5)
    config = replace(CONFIG, full=crossed)
    config.save(tmp_path)
    assert RankerConfig.load(tmp_path).full == crossed


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "null"])
def test_refuses_what_is_no_config(tmp_path: Path, text: str) -> None:
    (tmp_path / RANKER_CONFIG_NAME).write_text(text)
    with pytest.raises(DataLossError):
        RankerConfig.load(tmp_path)


def test_errors_name_the_field_and_the_value() -> None:
    with pytest.raises(InvalidArgumentError, match="'cube', must be one of: linear"):
        DenseColumn("a", "cube", 0.0, 1.0)
    with pytest.raises(InvalidArgumentError, match="'sum', must be one of: dot, cross"):
        replace(MODEL, interaction="sum")
    with pytest.raises(InvalidArgumentError, match="cross_layers is 17"):
        replace(MODEL, cross_layers=17)
    with pytest.raises(InvalidArgumentError, match="a width is 0"):
        replace(MODEL, embedding_dim=0)
