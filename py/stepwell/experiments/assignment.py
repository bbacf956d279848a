"""Which arm of an experiment a user is in: a hash, nothing stored."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType

from stepwell.base.errors import InvalidArgumentError

NUM_BUCKETS = 10_000
"""Buckets of an experiment; a share is a whole number of them, 0.01 % each."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One treatment.

    Attributes:
        name: unique in its experiment; the first arm is the control.
        num_buckets: share of the users in 1 / NUM_BUCKETS.
        overrides: configuration values that differ for this arm.
    """

    name: str
    num_buckets: int
    overrides: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = MappingProxyType(dict(self.overrides))
        object.__setattr__(self, "overrides", frozen)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Arms over a share of the users.

    Attributes:
        name: unique; with `salt` it makes the assignment independent of every other
            experiment's. A new salt deals all users anew.
        arms: at most NUM_BUCKETS buckets together; users beyond are in none. An arm
            that grows keeps its users only while the arms before it stay as they are,
            so ramp up the last one.
    """

    name: str
    salt: str
    arms: tuple[Arm, ...]

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not self.name or not names or "" in names or len(set(names)) != len(names):
            raise InvalidArgumentError(
                f"experiment {self.name!r} has arms {names}; names must be unique "
                "and not empty",
                "arms",
            )
        total = sum(arm.num_buckets for arm in self.arms)
        if min(arm.num_buckets for arm in self.arms) < 0 or total > NUM_BUCKETS:
            raise InvalidArgumentError(
                f"experiment {self.name!r} has {total} buckets, must be in "
                f"[0, {NUM_BUCKETS}] and no arm below 0",
                "num_buckets",
            )


def bucket_of(experiment: Experiment, user_id: str) -> int:
    """Returns the user's bucket, 0 <= bucket < NUM_BUCKETS.

    The same in every process and release: BLAKE2b of salt, name and user. The bias of
    the modulo is below 1e-15. Cost: about 1 us.
    """
    text = "\0".join((experiment.salt, experiment.name, user_id))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % NUM_BUCKETS


def assigned_arm(experiment: Experiment, user_id: str) -> Arm | None:
    """Returns the user's arm, None for a user outside of the experiment."""
    ends = list(accumulate(arm.num_buckets for arm in experiment.arms))
    place = bisect_right(ends, bucket_of(experiment, user_id))
    return experiment.arms[place] if place < len(ends) else None
