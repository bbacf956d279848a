"""Which arms a user is in: a hash, nothing stored.

Source: Tang, Agarwal, O'Brien and Meyer, "Overlapping Experiment Infrastructure", KDD
2010: experiments of one layer share its users out, and layers are independent.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stepwell.base.errors import InvalidArgumentError

NUM_BUCKETS = 10_000
"""Buckets of a layer; a share is a whole number of them, 0.01 % each."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One treatment.

    Attributes:
        name: unique in its experiment; the first arm is the control.
        num_buckets: share of the users in 1 / NUM_BUCKETS.
        overrides: settings that differ for this arm, by name.
    """

    name: str
    num_buckets: int
    overrides: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = MappingProxyType(dict(self.overrides))
        object.__setattr__(self, "overrides", frozen)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Arms that lie side by side in the buckets of a layer.

    Attributes:
        name: unique in the whole file.
        first_bucket: where its first arm begins.
        arms: an arm that grows keeps its users only while the arms before it stay as
            they are, so ramp up the last one.
    """

    name: str
    first_bucket: int
    arms: tuple[Arm, ...]

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not self.name or not names or "" in names or len(set(names)) != len(names):
            raise InvalidArgumentError(
                f"experiment {self.name!r} has arms {names}; names must be unique "
                "and not empty",
                "arms",
            )
        sizes = [arm.num_buckets for arm in self.arms]
        if min(self.first_bucket, *sizes) < 0 or self.end_bucket > NUM_BUCKETS:
            raise InvalidArgumentError(
                f"experiment {self.name!r} has buckets {self.first_bucket} to "
                f"{self.end_bucket}, must be in [0, {NUM_BUCKETS}] and no arm below 0",
                "num_buckets",
            )

    @property
    def end_bucket(self) -> int:
        """The first bucket behind its last arm."""
        return self.first_bucket + sum(arm.num_buckets for arm in self.arms)

    def spans(self) -> Iterator[tuple[int, int, Arm]]:
        """Yields each arm with its first bucket and the one behind its last."""
        first = self.first_bucket
        for arm in self.arms:
            yield first, first + arm.num_buckets, arm
            first += arm.num_buckets


@dataclass(frozen=True, slots=True)
class Layer:
    """Experiments of which a user is in one at most.

    Attributes:
        name: with `salt` it makes the layer independent of every other.
        salt: a new one deals all users anew.
        experiments: they share no bucket.
    """

    name: str
    salt: str
    experiments: tuple[Experiment, ...]

    def __post_init__(self) -> None:
        end, before = 0, ""
        for one in sorted(self.experiments, key=lambda found: found.first_bucket):
            if one.first_bucket < end:
                raise InvalidArgumentError(
                    f"layer {self.name!r}: experiments {before!r} and {one.name!r} "
                    f"share buckets {one.first_bucket} to {end}",
                    "first_bucket",
                )
            end, before = one.end_bucket, one.name

    def bucket_of(self, user_id: str) -> int:
        """Returns the user's bucket, 0 <= bucket < NUM_BUCKETS.

        The same in every process and release: BLAKE2b of salt, name and user. The bias
        of the modulo is below 1e-15. Cost: about 1 us.
        """
        hashed = self.hash_begun()
        hashed.update(user_id.encode())
        return int.from_bytes(hashed.digest(), "little") % NUM_BUCKETS

    def hash_begun(self) -> "hashlib.blake2b":
        """Returns the hash of a bucket up to the user, to be copied for each."""
        text = f"{self.salt}\0{self.name}\0"
        return hashlib.blake2b(text.encode(), digest_size=8)
