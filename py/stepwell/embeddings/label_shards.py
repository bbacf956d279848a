"""Which shard of an index holds a label: the embedding shard map over dense labels."""

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError, check_range
from stepwell.embeddings.shard_map import (
    MAX_SHARDS,
    NUM_SLOTS,
    Partition,
    Shard,
    ShardMap,
)

LabelArray = npt.NDArray[np.int64]

MAX_LABELS = 1 << 48
_SLOT_SHIFT = np.uint64(64 - NUM_SLOTS.bit_length() + 1)


class LabelShards:
    """The even cut of an index into shards, as splitter, server and client know it.

    HASH spreads any labels. RANGE cuts the labels 0..num_labels-1 into equal runs, so
    that items that were numbered together stay together; what is numbered later goes to
    the last shard.

    Args:
        num_shards: 1..1024.
        num_labels: with RANGE, labels to cut; HASH does not look at it.

    Concurrency: immutable. Cost: about 10 ns a label.
    """

    def __init__(
        self,
        num_shards: int,
        partition: Partition = Partition.HASH,
        num_labels: int = 0,
    ) -> None:
        check_range("num_shards", num_shards, 1, MAX_SHARDS)
        if partition is Partition.RANGE:
            check_range("num_labels", num_labels, 1, MAX_LABELS)
        self.num_shards = num_shards
        self.partition = partition
        self.num_labels = num_labels if partition is Partition.RANGE else 0
        # Addresses are the client's business; here a shard is its number.
        shards = tuple(Shard((f"shard-{n}",)) for n in range(num_shards))
        self._map = ShardMap.even(partition, shards)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelShards) and self._cut() == other._cut()

    def __hash__(self) -> int:
        return hash(self._cut())

    def __repr__(self) -> str:
        of = f" of {self.num_labels} labels" if self.num_labels else ""
        return f"{self.num_shards} shards by {self.partition.value}{of}"

    def of_labels(self, labels: LabelArray) -> npt.NDArray[np.int64]:
        """Returns int64 [N], the shard of each label >= 0."""
        if self.partition is Partition.HASH:
            return self._map.shards_of(labels.astype(np.uint64))
        known = np.minimum(labels, self.num_labels - 1)
        slots = (known * NUM_SLOTS // self.num_labels).astype(np.uint64)
        return self._map.shards_of(slots << _SLOT_SHIFT)

    def check_owned(self, labels: LabelArray, shard: int) -> None:
        """Does nothing when every label is this shard's.

        Raises:
            InvalidArgumentError: names the first one that is not, and its shard.
        """
        owners = self.of_labels(labels)
        foreign = np.flatnonzero(owners != shard)
        if foreign.size:
            path, place = f"labels[{foreign[0]}]", foreign[0]
            raise InvalidArgumentError(
                f"{path} is {labels[place]}, which belongs to shard {owners[place]}; "
                f"this is shard {shard} of {self!r}",
                path,
            )

    def _cut(self) -> tuple[int, Partition, int]:
        return self.num_shards, self.partition, self.num_labels
