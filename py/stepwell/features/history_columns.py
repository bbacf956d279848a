"""A user's history seen from one moment: what several feature groups share."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.features.catalogue import DAY_SECONDS
from stepwell.pipeline.query import UserContext
from stepwell.schema.vocabulary import RowArray

FloatArray = npt.NDArray[np.float32]
HALF_LIFE_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class HistoryColumns:
    """The H items of a history that the release knows, most recent first.

    Attributes:
        rows: int64 [H].
        counts: float32 [H], events.
        at_last: float32 [H], events decayed by 30 days to the item's last event.
        recent: float32 [H], the same decayed to now.
        idle_days, age_days: float32 [H], since the last and the first event.
        values: float32 [H], summed values.
        total_recent: sum of `recent`, at least 0.001.
        mean_value: of all events; 0 without events.

    Concurrency: immutable.
    """

    rows: RowArray
    counts: FloatArray
    at_last: FloatArray
    recent: FloatArray
    idle_days: FloatArray
    age_days: FloatArray
    values: FloatArray
    total_recent: float
    mean_value: float

    @classmethod
    def of(cls, user: UserContext, now: int) -> "HistoryColumns":
        """Returns the columns of `user` at `now`, unix seconds; O(H)."""
        history, known = user.history, user.history_rows >= 0
        counts = history.num_purchases[known].astype(np.float32)
        at_last = history.decayed_count[known]
        idle = _days(now - history.last_time[known])
        recent = (at_last * np.exp2(-idle / HALF_LIFE_DAYS)).astype(np.float32)
        values = history.total_value[known]
        return cls(
            rows=user.history_rows[known],
            counts=counts,
            at_last=at_last,
            recent=recent,
            idle_days=idle,
            age_days=_days(now - history.first_time[known]),
            values=values,
            total_recent=max(float(recent.sum()), 1e-3),
            mean_value=float(values.sum() / max(float(counts.sum()), 1.0)),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def positions(self, candidate_rows: RowArray) -> npt.NDArray[np.int64]:
        """Returns int64 [N]: each candidate's place in the history, -1 where absent."""
        if not len(self):
            return np.full(len(candidate_rows), -1, np.int64)
        order = np.argsort(self.rows, kind="stable")
        place = np.searchsorted(self.rows[order], candidate_rows)
        found = order[np.minimum(place, len(order) - 1)]
        return np.where(self.rows[found] == candidate_rows, found, -1)


def _days(seconds: npt.NDArray[np.int64]) -> FloatArray:
    # A late clock must not make an age negative.
    return (np.maximum(seconds, 0) / DAY_SECONDS).astype(np.float32)
