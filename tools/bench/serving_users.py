"""The made-up users of benchmark `serving`: histories around a few tastes each."""

from collections.abc import Iterator

import numpy as np

from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import KeyArray

SEED = 7
NUM_SEGMENTS = 20
_TASTES = 3
_TYPICAL_EVENTS, _MAX_EVENTS = 60, 1_000
_DAYS = 200
_DAY_SECONDS = 86_400


def user_id(number: int) -> str:
    """Returns the id of a made-up user."""
    return f"user-{number:06d}"


def segment_name(number: int) -> str:
    """Returns the name of the segment in row `number` >= 1."""
    return f"segment-{number:02d}"


def generated_users(
    keys: KeyArray, num_users: int, now: int, num_clusters: int
) -> Iterator[tuple[str, UserHistory]]:
    """Yields (user id, history); a log-normal number of events, about 60.

    Args:
        keys: uint64 [N], of the items; item i is of cluster i % num_clusters.
        num_users: how many.
        now: the newest event is before it, unix seconds.
        num_clusters: of the items' vectors.
    """
    random = np.random.default_rng(SEED)
    rounds = max(len(keys) // num_clusters, 1)
    for number in range(num_users):
        drawn = int(random.lognormal(np.log(_TYPICAL_EVENTS), 0.8))
        num_events = min(max(drawn, 1), _MAX_EVENTS)
        tastes = random.integers(0, num_clusters, _TASTES)
        clusters = random.choice(tastes, num_events)
        rows = clusters + num_clusters * random.integers(0, rounds, num_events)
        days = random.integers(1, _DAYS, num_events)
        values = random.lognormal(1.0, 0.5, num_events).astype(np.float32)
        history = UserHistory.from_events(
            keys[rows % len(keys)],
            now - days * _DAY_SECONDS,
            values,
            segment_name(1 + number % NUM_SEGMENTS),
        )
        yield user_id(number), history
