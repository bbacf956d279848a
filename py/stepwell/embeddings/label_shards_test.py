"""Labels and their shards."""

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.embeddings.label_shards import MAX_LABELS, LabelShards
from stepwell.embeddings.shard_map import Partition, Shard, ShardMap

LABELS = np.arange(30_000, dtype=np.int64)
BOTH = [Partition.HASH, Partition.RANGE]


@pytest.mark.parametrize("partition", BOTH)
@pytest.mark.parametrize("num_shards", [1, 2, 3, 7])
def test_dense_labels_are_spread_evenly(partition: Partition, num_shards: int) -> None:
    shards = LabelShards(num_shards, partition, len(LABELS)).of_labels(LABELS)
    counts = np.bincount(shards, minlength=num_shards) / len(LABELS)
    assert counts == pytest.approx(1 / num_shards, rel=0.02)


def test_by_hash_a_label_has_the_shard_of_the_embedding_map() -> None:
    even = ShardMap.even(Partition.HASH, tuple(Shard((f"a{n}",)) for n in range(5)))
    expected = even.shards_of(LABELS.astype(np.uint64))
    assert np.array_equal(LabelShards(5).of_labels(LABELS), expected)


def test_by_range_neighbours_stay_together_and_later_labels_go_to_the_last() -> None:
    shards = LabelShards(3, Partition.RANGE, len(LABELS))
    owners = shards.of_labels(LABELS)
    assert (np.diff(owners) >= 0).all()
    beyond = np.array([len(LABELS), 1 << 40, (1 << 63) - 1])
    assert shards.of_labels(beyond).tolist() == [2, 2, 2]


def test_the_largest_number_of_labels_does_not_overflow() -> None:
    shards = LabelShards(4, Partition.RANGE, MAX_LABELS)
    edges = np.array([0, MAX_LABELS // 2, MAX_LABELS - 1])
    assert shards.of_labels(edges).tolist() == [0, 2, 3]


def test_a_foreign_label_is_named_with_its_shard() -> None:
    shards = LabelShards(3, Partition.RANGE, 30)
    shards.check_owned(np.array([0, 5, 9]), 0)
    with pytest.raises(InvalidArgumentError) as error:
        shards.check_owned(np.array([0, 29]), 0)
    expected = "labels[1] is 29, which belongs to shard 2; this is shard 0 of 3 shards"
    assert str(error.value).startswith(expected)
    assert error.value.field == "labels[1]"


def test_two_cuts_are_equal_when_they_cut_alike() -> None:
    assert LabelShards(3) == LabelShards(3, Partition.HASH, 99)
    assert LabelShards(3) != LabelShards(4)
    assert LabelShards(3, Partition.RANGE, 9) != LabelShards(3, Partition.RANGE, 10)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0,), "num_shards is 0"),
        ((1_025,), "num_shards is 1025"),
        ((2, Partition.RANGE), "num_labels is 0"),
        ((2, Partition.RANGE, MAX_LABELS + 1), "num_labels is"),
    ],
)
def test_a_cut_out_of_range_is_refused(
    arguments: tuple[int, Partition, int], text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        LabelShards(*arguments)
