"""The features by their definitions, column by column: the oracle of the fast ones."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.features import view_features
from stepwell.features.catalogue import (
    ABSENT_RANK,
    FAR_DAYS,
    OWN_FEATURES,
    USER_FEATURES,
    FeatureCatalogue,
)
from stepwell.features.item_columns import ItemColumns
from stepwell.pipeline.candidate import FEATURE_SOURCES, CandidateSet
from stepwell.pipeline.query import FeatureBatch, Query, UserContext
from stepwell.schema.feature_registry import DAY_SECONDS, REQUEST_CONTEXT
from stepwell.schema.vocabulary import RowArray

Array = npt.NDArray[np.float64]


class NumpyFeatures:
    """What CandidateFeatures is, in float64 and some twenty times as slow.

    Concurrency: immutable.
    """

    def __init__(
        self,
        items: ItemColumns,
        catalogue: FeatureCatalogue,
        item_rows: npt.NDArray[np.void] | None = None,
    ) -> None:
        self._items = items
        self._item_rows = item_rows
        self._catalogue = catalogue
        self._table = items.table(catalogue)

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        """Returns the features of the N candidates, in their order."""
        own, rows, now = (
            _Own.of(user, query.event_time),
            candidates.rows,
            query.event_time,
        )
        places = own.places(rows)
        num_sources = len(FEATURE_SOURCES)
        ranks = candidates.source_ranks[:, :num_sources].astype(float)
        columns = [
            *(np.full(len(rows), value) for value in self._user(user, own, now)),
            *self._own(user, own)[places].T,
            *self._item(own, rows, now),
            *candidates.source_scores[:, :num_sources].T.astype(float),
            *np.where(ranks < 0, ABSENT_RANK, ranks).T,
        ]
        recent = np.append(own.recent, 0.0)[places]
        for name in self._catalogue.affinity_columns:
            columns += self._affinity(own, name, rows, recent)
        columns += self._stored(query, user, rows)
        names = self._catalogue.embedded_columns
        codes = [self._items.categories[name][rows] for name in names]
        segment = np.full(len(rows), user.segment_row)
        return FeatureBatch(
            np.stack(columns, axis=1).astype(np.float32),
            np.stack([*codes, segment], axis=1).astype(np.int64),
            rows,
        )

    def _user(self, user: UserContext, own: "_Own", now: int) -> list[float]:
        whole = user.history
        if not whole.num_events:
            return [feature.default for feature in USER_FEATURES]
        trips = max(whole.num_trips, 1)
        span = max((now - whole.first_event_time) / DAY_SECONDS, 1.0)
        return [
            trips,
            trips / span * 7.0,
            len(whole),
            whole.num_events / trips,
            max(now - whole.last_event_time, 0) / DAY_SECONDS,
            len(whole) / whole.num_events,
            own.total_recent,
            span,
        ]

    def _own(self, user: UserContext, own: "_Own") -> Array:
        """float64 [H + 1, features]; the last row is of items not in the history."""
        intervals = self._table.numbers[own.rows, self._table.interval]
        span = own.age - own.idle
        # The item's mean interval counts as one more gap beside the user's own.
        interval = (span + intervals) / own.counts
        rank = np.empty(len(own.rows))
        rank[np.argsort(-own.recent, kind="stable")] = np.arange(len(own.rows))
        columns = (
            np.ones(len(own.rows)),
            own.counts,
            own.recent,
            own.at_last,
            own.at_last * np.exp2(-own.idle / 7.0),
            own.counts * np.exp2(-(own.idle + span / 2.0) / 90.0),
            own.idle,
            own.age,
            interval,
            own.idle / np.maximum(interval, 1.0),
            own.counts / np.maximum(own.age, 7.0),
            own.counts / max(user.history.num_trips, 1),
            own.values / np.maximum(own.counts, 1.0),
            own.recent / own.total_recent,
            rank,
        )
        defaults = [feature.default for feature in OWN_FEATURES]
        return np.vstack([np.stack(columns, axis=1), defaults])

    def _item(self, own: "_Own", rows: RowArray, now: int) -> list[Array]:
        items, table = self._items, self._table
        usual = own.values.sum() / max(own.counts.sum(), 1.0)
        return [
            *table.numbers[rows].T.astype(float),
            np.maximum(now - items.first_seen[rows], 0) / DAY_SECONDS,
            np.maximum(now - items.last_seen[rows], 0) / DAY_SECONDS,
            self._price_fit(rows, usual) * (len(own.rows) > 0),
        ]

    def _affinity(
        self, own: "_Own", name: str, rows: RowArray, own_recent: Array
    ) -> list[Array]:
        codes = self._items.categories[name]
        there = codes[own.rows][None, :] == codes[rows][:, None]
        recent, count = there @ own.recent, there @ own.counts
        num_items = there.sum(axis=1).astype(float)
        # Most recent first: the first one there.
        idle = np.where(there, own.idle, np.inf)
        latest = [
            line[hit.argmax()] if hit.any() else FAR_DAYS
            for line, hit in zip(idle, there, strict=True)
        ]
        usual = (there @ own.values) / np.maximum(count, 1.0)
        return [
            recent,
            num_items,
            count,
            np.minimum(np.array(latest, float), FAR_DAYS),
            own_recent / np.maximum(recent, 1e-3),
            num_items / np.maximum(count, 1.0),
            recent / own.total_recent,
            self._price_fit(rows, usual) * (count > 0),
            self._items.category_shares[name][rows].astype(float),
        ]

    def _stored(self, query: Query, user: UserContext, rows: RowArray) -> list[Array]:
        now, missing = query.event_time, {*user.defaulted}
        if "request_context" not in query.request_rows:
            missing.add("request_context")
        views = view_features.indicated_views(self._catalogue.views)
        columns = [np.full(len(rows), float(view in missing)) for view in views]
        activity = user.rows.get("user_activity")
        for feature in self._catalogue.user_features:
            value = 0.0 if activity is None else _decayed(activity, feature, now)
            columns.append(np.full(len(rows), value))
        if self._catalogue.request_features:
            clock = _of_clock(query)
            columns += [np.full(len(rows), value) for value in clock]
        features = self._catalogue.item_features
        if self._item_rows is None:
            return [*columns, *(np.zeros(len(rows)) for _ in features)]
        of_items = self._item_rows[rows]
        return [*columns, *(_decayed(of_items, feature, now) for feature in features)]

    def _price_fit(self, rows: RowArray, usual: Array | float) -> Array:
        prices = self._table.numbers[rows, self._table.price]
        return np.asarray(np.log(prices + np.float32(0.1)) - np.log(usual + 0.1))


def _of_clock(query: Query) -> list[float]:
    default = REQUEST_CONTEXT.default_row()
    row = query.request_rows.get("request_context", default)
    hour, weekday = int(row["local_hour"]), int(row["local_weekday"])
    day, week = hour / 24 * math.tau, weekday / 7 * math.tau
    angles = (math.sin(day), math.cos(day), math.sin(week), math.cos(week))
    return [*angles, float(weekday in (5, 6))]


def _decayed(
    rows: npt.NDArray[np.void], feature: view_features.DecayedFeature, now: int
) -> Array:
    age = np.maximum(now - rows[feature.time], 0)
    decay = np.exp2(-age / feature.half_life_seconds)
    return np.asarray(rows[feature.value].astype(float) * decay)


@dataclass(frozen=True, slots=True)
class _Own:
    """The H known items of a history, most recent first; float64 [H] each."""

    rows: RowArray
    counts: Array
    at_last: Array
    recent: Array
    idle: Array
    age: Array
    values: Array
    total_recent: float

    @classmethod
    def of(cls, user: UserContext, now: int) -> "_Own":
        history, known = user.history, user.history_rows >= 0
        at_last = history.decayed_count[known].astype(float)
        idle = np.maximum(now - history.last_time[known], 0) / DAY_SECONDS
        recent = at_last * np.exp2(-idle / 30.0)
        return cls(
            rows=user.history_rows[known],
            counts=history.num_purchases[known].astype(float),
            at_last=at_last,
            recent=recent,
            idle=idle,
            age=np.maximum(now - history.first_time[known], 0) / DAY_SECONDS,
            values=history.total_value[known].astype(float),
            total_recent=max(float(recent.sum()), 1e-3),
        )

    def places(self, rows: RowArray) -> npt.NDArray[np.int64]:
        """int64 [N]: each row's place in the history, -1 where it is not there."""
        if not len(self.rows):
            return np.full(len(rows), -1)
        there = self.rows[None, :] == rows[:, None]
        return np.where(there.any(axis=1), there.argmax(axis=1), -1)
