"""`index split`: files of shards, and the flags that serve them."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from commands import index
from commands.index_split import add_split_arguments, split
from stepwell.base.errors import InvalidArgumentError
from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Partition
from stepwell.index.ann_index import HnswIndex

N, D = 300, 8


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An index of the ids 0 .. N - 1."""
    vectors = np.random.default_rng(2).normal(size=(N, D)).astype(np.float32)
    HnswIndex.build(vectors, np.arange(N)).save(tmp_path / "index.hnsw")
    return tmp_path / "index.hnsw"


def parsed(file: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_split_arguments(parser)
    return parser.parse_args([str(file), "-o", str(file.parent / "out"), *more])


def silent(done: int, total: int) -> None:
    """No bar."""


def test_each_file_holds_its_shard_and_its_flags_say_which(file: Path) -> None:
    facts = split(parsed(file, "--shards", "3"), silent)
    owners = LabelShards(3).of_labels(np.arange(N))
    assert facts["num_items"] == N
    for number, shard in enumerate(facts["shards"]):
        path = file.parent / "out" / f"shard-{number}.hnsw"
        own = np.flatnonzero(owners == number)
        assert HnswIndex.open(path).ids().tolist() == own.tolist()
        assert shard["num_items"] == len(own)
        assert shard["flags"] == f"--index={path} --shard={number} --num_shards=3"


def test_a_range_is_cut_up_to_the_largest_id_unless_told_otherwise(file: Path) -> None:
    facts = split(parsed(file, "--shards", "2", "--partition", "range"), silent)
    assert [shard["num_items"] for shard in facts["shards"]] == [150, 150]
    assert facts["shards"][1]["flags"].endswith("--partition=range --num_labels=300")
    told = parsed(file, "--shards", "2", "--partition", "range", "--num-labels", "600")
    assert [one["num_items"] for one in split(told, silent)["shards"]] == [300, 0]
    assert LabelShards(2, Partition.RANGE, 600).num_labels == 600


def test_a_number_of_shards_out_of_range_writes_nothing(file: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="num_shards is 0"):
        split(parsed(file, "--shards", "0"), silent)
    assert not (file.parent / "out").exists()


def test_the_command_prints_the_flags_of_every_shard(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    index.add_arguments(parser)
    words = ["split", str(file), "-o", str(file.parent / "out"), "--shards", "2"]
    assert index.run(parser.parse_args([*words, "--json"])) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [one["flags"].split()[1] for one in facts["shards"]] == [
        "--shard=0",
        "--shard=1",
    ]
    assert index.run(parser.parse_args(words)) == 0
    said = "".join(capsys.readouterr().out.split())
    assert "--shard=0--num_shards=2" in said
    assert "--shard=1--num_shards=2" in said
    assert index.run(parser.parse_args([*words[:-1], "0"])) == 1
    assert "index split: num_shards is 0" in capsys.readouterr().err
