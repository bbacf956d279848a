import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from stepwell.base.errors import DataLossError, InvalidArgumentError, StepwellError
from stepwell.embeddings.shard_map import NUM_SLOTS, Partition, Shard, ShardMap
from stepwell.schema.vocabulary import entity_keys

FOUR = tuple(Shard((f"10.0.0.{n}:1", f"10.0.1.{n}:1")) for n in range(4))
ENTITY_KEYS = entity_keys(f"item-{n}" for n in range(40_000))
DENSE_KEYS = np.arange(40_000, dtype=np.uint64)


@pytest.mark.parametrize(
    ("partition", "keys"),
    [
        (Partition.HASH, ENTITY_KEYS),
        (Partition.HASH, DENSE_KEYS),
        (Partition.RANGE, ENTITY_KEYS),
    ],
)
def test_keys_spread_evenly_over_the_shards(
    partition: Partition, keys: np.ndarray
) -> None:
    owners = ShardMap.even(partition, FOUR).shards_of(keys)
    counts = np.bincount(owners, minlength=4)
    assert chisquare(counts).pvalue > 1e-4 or counts.std() / counts.mean() < 0.02


def test_a_range_keeps_neighbouring_keys_together() -> None:
    shard_map = ShardMap.even(Partition.RANGE, FOUR)
    assert shard_map.shards_of(DENSE_KEYS).tolist() == [0] * 40_000
    edges = np.array([0, 2**62 - 1, 2**62, 2**64 - 1], np.uint64)
    assert shard_map.shards_of(edges).tolist() == [0, 0, 1, 3]


def test_a_key_keeps_the_slot_it_was_given_in_every_version() -> None:
    # Fixed for ever: a change here moves every key of every running cluster.
    shard_map = ShardMap.even(Partition.HASH, FOUR)
    keys = np.array([0, 1, 2, 2**63, 2**64 - 1], np.uint64)
    assert shard_map.slots_of(keys).tolist() == [0, 2531, 966, 2048, 1564]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(1, 64))
def test_every_key_has_one_owner_and_the_owners_slots_say_so(
    numbers: list[int], num_shards: int
) -> None:
    shards = tuple(Shard((f"a:{n}",)) for n in range(num_shards))
    keys = np.array(numbers, np.uint64)
    for partition in Partition:
        shard_map = ShardMap.even(partition, shards)
        owners, slots = shard_map.shards_of(keys), shard_map.slots_of(keys)
        for owner, slot in zip(owners.tolist(), slots.tolist(), strict=True):
            assert slot in shard_map.slots_owned_by(owner)
        owned = [len(shard_map.slots_owned_by(n)) for n in range(num_shards)]
        assert sum(owned) == NUM_SLOTS
        assert max(owned) - min(owned) <= 1


def test_moving_slots_moves_only_their_keys() -> None:
    before = ShardMap.even(Partition.HASH, FOUR)
    moved = np.array([0, 5, 4_095])
    after = before.with_slots_moved(moved, 2)
    changed = before.shards_of(ENTITY_KEYS) != after.shards_of(ENTITY_KEYS)
    in_moved = np.isin(before.slots_of(ENTITY_KEYS), moved)
    assert changed.any()
    assert np.array_equal(changed, in_moved)


@given(st.lists(st.tuples(st.integers(0, 4_095), st.integers(0, 3)), max_size=20))
def test_json_gives_the_same_map_back(moves: list[tuple[int, int]]) -> None:
    shard_map = ShardMap.even(Partition.RANGE, FOUR)
    for slot, shard in moves:
        shard_map = shard_map.with_slots_moved(np.array([slot]), shard)
    again = ShardMap.from_json(shard_map.to_json())
    assert again.partition is Partition.RANGE
    assert again.shards == FOUR
    for shard in range(4):
        assert np.array_equal(
            again.slots_owned_by(shard), shard_map.slots_owned_by(shard)
        )


def edited(**changes: object) -> str:
    fields = json.loads(ShardMap.even(Partition.HASH, FOUR).to_json())
    return json.dumps(fields | changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no shard map"),
        ("[]", "no shard map"),
        ("{}", "format_version"),
        ("[" * 100, "no shard map"),
        (" " * (2 << 20), "bytes"),
        (edited(format_version=2), "version"),
        (edited(surprise=1), "surprise"),
        (edited(partition="modulo"), "modulo"),
        (edited(shards=[]), "number of shards is 0"),
        (edited(shards=[{"replicas": []}]), "replicas of shard 0 is 0"),
        (edited(shards=[{"replicas": ["a", "a"]}]), "different addresses"),
        (edited(shards=[{"replicas": [1]}]), "different addresses"),
        (edited(slots=[[0, 4_094, 0]]), "slot 4095 has no owner"),
        (edited(slots=[[0, 4_095, 0], [7, 7, 1]]), "two owners"),
        (edited(slots=[[0, 4_096, 0]]), "not in 0..4095"),
        (edited(slots=[[5, 4, 0]]), "not in 0..4095"),
        (edited(slots=[[0, 4_095, 4]]), "shard 4"),
        (edited(slots=[[0, 4_095, -1]]), "no owner"),
        (edited(slots=[[0, 4_095, 0.5]]), "integers"),
        (edited(slots=[[0, 4_095]]), "no shard map"),
    ],
)
def test_a_map_that_is_wrong_is_refused(text: str, reason: str) -> None:
    with pytest.raises(StepwellError, match=reason) as caught:
        ShardMap.from_json(text)
    assert isinstance(caught.value, DataLossError | InvalidArgumentError)
