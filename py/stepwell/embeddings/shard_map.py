"""The shard map: 4,096 slots over shards, each with its replicas.

A key has a slot by hash or by range; a slot has one shard; a shard has addresses, any
of which answers. Moving a slot is an edit of this map, not of the keys. In TorchRec's
words: a row-wise sharded table, by hash or by range.
"""

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError, InvalidArgumentError, check_range

NUM_SLOTS = 4_096
MAX_SHARDS = 1_024
MAX_REPLICAS = 8
MAX_MAP_BYTES = 1 << 20
_FORMAT_VERSION = 1
_SLOT_BITS = 12
# 2^64 / golden ratio: multiplicative hashing (Knuth, TAOCP 3, 6.4), top bits taken.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

KeyArray = npt.NDArray[np.uint64]
SlotArray = npt.NDArray[np.int64]


class Partition(enum.Enum):
    """How a key gets its slot."""

    HASH = "hash"
    """A multiplicative hash: any keys spread evenly."""
    RANGE = "range"
    """The key's top 12 bits: neighbouring keys lie together. For keys that are hashes
    already, such as entity keys, as even as HASH; for dense rows it is not."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of the tables: `replicas` are the addresses that serve it."""

    replicas: tuple[str, ...]


class ShardMap:
    """Which shard owns a key.

    Args:
        partition: how a key gets its slot.
        shards: by number.
        shard_of_slot: int64 [NUM_SLOTS], the shard that owns each slot.

    Concurrency: immutable. Cost: about 10 ns a key.
    """

    def __init__(
        self,
        partition: Partition,
        shards: tuple[Shard, ...],
        shard_of_slot: SlotArray,
    ) -> None:
        check_range("number of shards", len(shards), 1, MAX_SHARDS)
        for number, shard in enumerate(shards):
            _check_replicas(number, shard.replicas)
        if shard_of_slot.shape != (NUM_SLOTS,):
            raise InvalidArgumentError(
                f"shard_of_slot has shape {shard_of_slot.shape}, must be ({NUM_SLOTS},)"
            )
        owners = np.unique(shard_of_slot)
        if owners[0] < 0 or owners[-1] >= len(shards):
            raise InvalidArgumentError(
                f"a slot is owned by shard {owners[0] if owners[0] < 0 else owners[-1]}"
                f", must be in [0, {len(shards)})",
                "slots",
            )
        self.partition = partition
        self.shards = shards
        self._shard_of_slot = shard_of_slot.astype(np.int64)

    @classmethod
    def even(cls, partition: Partition, shards: tuple[Shard, ...]) -> "ShardMap":
        """Returns the map that gives each shard one run of slots, equal to within 1."""
        check_range("number of shards", len(shards), 1, MAX_SHARDS)
        owners = np.arange(NUM_SLOTS) * len(shards) // NUM_SLOTS
        return cls(partition, shards, owners)

    def slots_of(self, keys: KeyArray) -> SlotArray:
        """Returns int64 [N], the slot of each key."""
        if self.partition is Partition.HASH:
            keys = keys * _MULTIPLIER  # wraps, as a hash should
        return (keys >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)

    def shards_of(self, keys: KeyArray) -> SlotArray:
        """Returns int64 [N], the shard that owns each key."""
        return self._shard_of_slot[self.slots_of(keys)]

    def slots_owned_by(self, shard: int) -> SlotArray:
        """Returns the slots of one shard, ascending."""
        check_range("shard", shard, 0, len(self.shards) - 1)
        return np.flatnonzero(self._shard_of_slot == shard)

    def with_slots_moved(self, slots: SlotArray, shard: int) -> "ShardMap":
        """Returns the map in which `slots` belong to `shard`."""
        check_range("shard", shard, 0, len(self.shards) - 1)
        moved = self._shard_of_slot.copy()
        moved[slots] = shard
        return ShardMap(self.partition, self.shards, moved)

    def to_json(self) -> str:
        """Returns the form on disk; slots are runs [first, last, shard]."""
        runs = [[int(a), int(b), int(s)] for a, b, s in _runs(self._shard_of_slot)]
        fields = {
            "format_version": _FORMAT_VERSION,
            "partition": self.partition.value,
            "shards": [{"replicas": list(shard.replicas)} for shard in self.shards],
            "slots": runs,
        }
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ShardMap":
        """Reads what `to_json` wrote, or what a person wrote in that form.

        Raises:
            DataLossError: the text is no map of this version, or a slot has no owner or
                two. InvalidArgumentError: a value is out of range.
        """
        if len(text) > MAX_MAP_BYTES:
            raise DataLossError(f"shard map has {len(text)} bytes")
        try:
            fields: dict[str, Any] = json.loads(text)
            unknown = set(fields) - {"format_version", "partition", "shards", "slots"}
            if unknown or fields["format_version"] != _FORMAT_VERSION:
                raise ValueError(f"version or fields {sorted(unknown)} are unknown")
            partition = Partition(fields["partition"])
            shards = tuple(Shard(tuple(one["replicas"])) for one in fields["shards"])
            owners = _owners([tuple(run) for run in fields["slots"]])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataLossError(f"no shard map: {error!r}") from error
        return cls(partition, shards, owners)

    @classmethod
    def load(cls, path: Path) -> "ShardMap":
        """Reads a map from a file; errors as `from_json`."""
        return cls.from_json(path.read_text())


def _check_replicas(number: int, replicas: tuple[str, ...]) -> None:
    check_range(f"number of replicas of shard {number}", len(replicas), 1, MAX_REPLICAS)
    unique = len(set(replicas)) == len(replicas)
    if not unique or not all(isinstance(one, str) and one for one in replicas):
        raise InvalidArgumentError(
            f"replicas of shard {number} are {replicas}, must be different addresses",
            "replicas",
        )


def _runs(owners: SlotArray) -> list[tuple[int, int, int]]:
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    ends = np.r_[starts[1:], len(owners)] - 1
    return list(zip(starts, ends, owners[starts], strict=True))


def _owners(runs: list[tuple[int, ...]]) -> SlotArray:
    owners = np.full(NUM_SLOTS, -1, np.int64)
    for first, last, shard in runs:
        if not all(type(value) is int for value in (first, last, shard)):
            raise ValueError(f"run {(first, last, shard)} is not of integers")
        if not 0 <= first <= last < NUM_SLOTS:
            raise ValueError(f"slots {first}..{last} are not in 0..{NUM_SLOTS - 1}")
        if np.any(owners[first : last + 1] != -1):
            raise ValueError(f"slots {first}..{last} have two owners")
        owners[first : last + 1] = shard
    if np.any(owners == -1):
        raise ValueError(f"slot {int(np.argmin(owners))} has no owner")
    return owners
