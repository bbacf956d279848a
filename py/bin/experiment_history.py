"""What the users of a data set did, for experiments that never were."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from stepwell.base.errors import NotFoundError
from stepwell.experiments.panel import Occasions
from stepwell.experiments.simulation import History

NUM_SHOWN = 10
_DAY_SECONDS = 86_400

Ints = npt.NDArray[np.int64]


def history_of(dataset: Path) -> History:
    """Returns the visits of the second half of a data set's time.

    A visit is a user's day with an event; it is a hit when one of the NUM_SHOWN items
    that were the most popular in the first half is among the day's. That is the
    click-through of a popular slate: real users, and real differences between them.
    What is known beforehand are visits and hits of the first half.

    Raises:
        NotFoundError: the data set is not prepared.
    """
    path = dataset / "events.parquet"
    if not path.exists():
        raise NotFoundError(f"no {path}: ./stepwell train makes it")
    table = pq.read_table(path, columns=["user_id", "item_id", "event_time"])
    users = table["user_id"].combine_chunks().dictionary_encode()
    items = table["item_id"].combine_chunks().dictionary_encode()
    times = table["event_time"].to_numpy()
    user_rows, item_rows = (_rows(column) for column in (users, items))
    is_later = times >= (times.min() + times.max()) // 2
    popular = np.argsort(-np.bincount(item_rows[~is_later]), kind="stable")
    is_hit = np.isin(item_rows, popular[:NUM_SHOWN])
    num_users = len(users.dictionary)
    visits, hits = _by_user(user_rows, times, is_hit, ~is_later, num_users)
    later = _visits(user_rows[is_later], times[is_later], is_hit[is_later])
    return History(
        user_ids=[str(one) for one in users.dictionary.to_pylist()],
        occasions=later,
        before=np.log1p(np.stack([visits, hits], axis=1)),
    )


def _rows(column: Any) -> Ints:
    rows: Ints = column.indices.to_numpy().astype(np.int64)
    return rows


def _visits(users: Ints, times: Ints, is_hit: npt.NDArray[np.bool_]) -> Occasions:
    """Each user's days, and whether one had a hit."""
    days = times // _DAY_SECONDS
    order = np.lexsort((days, users))
    users, days, times = users[order], days[order], times[order]
    starts = np.flatnonzero(
        np.r_[True, (users[1:] != users[:-1]) | (days[1:] != days[:-1])]
    )
    hit = np.maximum.reduceat(is_hit[order].astype(np.float64), starts)
    first = np.minimum.reduceat(times, starts)
    return Occasions(users[starts], first, hit, np.ones(len(starts)))


def _by_user(
    users: Ints,
    times: Ints,
    is_hit: npt.NDArray[np.bool_],
    kept: npt.NDArray[np.bool_],
    num_users: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    visits = _visits(users[kept], times[kept], is_hit[kept])
    return (
        np.bincount(visits.users, minlength=num_users).astype(np.float64),
        np.bincount(visits.users, visits.y, num_users).astype(np.float64),
    )
