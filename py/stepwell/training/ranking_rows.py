"""Rows that rankers learn from: real retrieval and real features as of earlier cuts."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.online_reader import OnlineReader, RowStore
from stepwell.features.request_features import request_rows
from stepwell.features.user_hydrator import UserHydrator
from stepwell.pipeline.candidate import CandidateSet
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import Retriever
from stepwell.schema.feature_registry import REQUEST_CONTEXT, USER_VIEWS
from stepwell.schema.vocabulary import RowArray
from stepwell.training.newcomers import (
    NUM_KNOWN_EVENTS,
    Newcomers,
    NewcomerStore,
)
from stepwell.training.rows_as_of import RowsWithout, UserRowsAsOf
from stepwell.training.split import Snapshot, Targets

OBJECTIVES = ("purchase", "repeat")
"""Bought in the label period; bought on two trips or more."""

_DROPPED = (*USER_VIEWS, REQUEST_CONTEXT)
_Part = tuple[npt.NDArray[Any], ...]
Progress = Callable[[str, float], None]
_NO_HURRY_US = 600_000_000


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Options of the rows of one snapshot.

    Attributes:
        max_queries: users at most, drawn at random.
        negatives: unlabelled candidates kept a query, of the retrieved ones.
        promoted: promoted items added a query where promotions are known, >= 0.
        drop_view_share: of each view of the user alone, the part of the queries that
            are asked as if the online store had lost it, so that the model has seen
            what it is to answer from defaults; in [0, 1].
        newcomer_share: part of the queries that are asked as if the user had come with
            one of NUM_KNOWN_EVENTS last events, so that the model has seen new users;
            in [0, 1].
        seed: of all draws.
    """

    max_queries: int = 20_000
    negatives: int = 256
    promoted: int = 8
    drop_view_share: float = 0.05
    newcomer_share: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RankingRows:
    """R rows of Q queries, query by query.

    Attributes:
        dense: float32 [R, F]; sparse: int64 [R, T]: a FeatureBatch.
        labels: float32 [R, O], by OBJECTIVES.
        is_new: bool [R], the user never had the item before.
        weights: float32 [R], 1 / the chance with which the row was kept.
        offsets: int64 [Q + 1].
    """

    dense: npt.NDArray[np.float32]
    sparse: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    is_new: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]

    @property
    def num_queries(self) -> int:
        """Q."""
        return len(self.offsets) - 1

    @classmethod
    def joined(cls, parts: list["RankingRows"]) -> "RankingRows":
        """Returns the rows of all parts, one after the other."""
        columns = ("dense", "sparse", "labels", "is_new", "weights")
        lengths = [np.diff(part.offsets) for part in parts]
        return cls(
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in columns
            },
            offsets=np.r_[0, np.cumsum(np.concatenate(lengths))].astype(np.int64),
        )


@dataclass(frozen=True, slots=True)
class RowSource:
    """What makes a user's rows as of one snapshot.

    Attributes:
        known: the snapshot; queries are asked at its cut.
        retriever: the retrieval stage trained on it.
        features: the hydrator over its item columns.
        plan: how many candidates.
        users: what the online store would hold at the cut.
        segment_names: the release's segments, row 0 is the unknown one.
    """

    known: Snapshot
    retriever: Retriever
    features: CandidateFeatures
    plan: ExecutionPlan
    users: UserRowsAsOf
    segment_names: tuple[str, ...]

    def query(
        self, user_row: int, delay_seconds: int = 0, visit_time: int = 0
    ) -> Query:
        """Returns the question of a user.

        Args:
            delay_seconds: from the cut to the question.
            visit_time: of the caller's clock, unix seconds, where it is another time
                than that of what is known: 0 takes the question's.
        """
        event_time = self.known.cut_time + delay_seconds
        return Query(
            request_id=f"training-{user_row}",
            user_id=self.known.table.users.id_of_row(user_row),
            num_items=500,
            event_time=event_time,
            deadline=Deadline.after_us(SystemClock(), _NO_HURRY_US),
            request_rows=request_rows({}, visit_time or event_time),
        )

    def user(self, query: Query, dropped: Collection[str] = ()) -> UserContext:
        """Returns the user's context by the serving code.

        Args:
            query: whose user is asked for, at or after the cut.
            dropped: names of views that the store has lost.
        """
        return self.user_of(query, RowsWithout(self.users, dropped))

    def user_of(self, query: Query, store: RowStore) -> UserContext:
        """Returns the context of a user of whom `store` holds the rows."""
        reader = OnlineReader(store, USER_VIEWS, Metrics())
        hydrator = UserHydrator(reader, self.known.items, self.segment_names)
        return hydrator.hydrate(query, query.deadline)

    def candidates(self, query: Query, user: UserContext) -> CandidateSet:
        """Returns what retrieval finds.

        Raises:
            RuntimeError: a source failed; training does not fail open.
        """
        found = self.retriever.run(query, user, self.plan, query.deadline)
        if found.failures:
            raise RuntimeError(f"retrieval failed in training: {found.failures}")
        return found.candidates


def ranking_rows(
    source: RowSource,
    end_time: int,
    options: RowOptions,
    progress: Progress | None = None,
) -> RankingRows:
    """Returns labelled rows of the users who bought something in the label period.

    Args:
        source: a snapshot's stages.
        end_time: end of the label period, exclusive; it starts at the cut.
        options: how many.
        progress: called with "rows" and the done share.
    Cost: about 4 ms a user with 500 candidates.
    """
    known = source.known
    labels = _Labels(known.targets(end_time), _repeated(known, end_time))
    users = _drawn_users(known, labels.targets, options)
    promoted, newcomers = _promoted_rows(known), Newcomers(known)
    visits = known.visit_times(end_time)
    parts: list[_Part] = []
    for number, user_row in enumerate(users.tolist()):
        rng = np.random.default_rng([options.seed, known.cut_time, user_row])
        query = source.query(user_row, visit_time=int(visits[user_row]))
        # From a generator of its own: what is kept does not change with the share.
        drops = np.random.default_rng([options.seed, known.cut_time, user_row, 1])
        if drops.random() < options.newcomer_share:
            user = source.user_of(query, drawn_newcomer(newcomers, user_row, drops))
        else:
            dropped = dropped_views(options.drop_view_share, drops)
            query = query_without(query, dropped)
            user = source.user(query, dropped)
        found = source.candidates(query, user)
        wanted = labels.targets.items_of(user_row)
        kept, weights = _sampled(found.rows, wanted, options, rng)
        more = _drawn_promoted(promoted, found.rows, options, rng)
        candidates = _with_rows(found.taken(kept), more)
        batch = source.features.hydrate(query, user, candidates)
        parts.append(
            (
                batch.dense,
                batch.sparse,
                labels.of(user_row, candidates.rows),
                ~np.isin(candidates.rows, user.history_rows),
                np.r_[weights, np.ones(len(more), np.float32)],
            )
        )
        if progress and number % 100 == 0:
            progress("rows", number / len(users))
    return _stacked(parts)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What users did after the cut: at all, and more than once."""

    targets: Targets
    repeats: Targets

    def of(self, user_row: int, rows: RowArray) -> npt.NDArray[np.bool_]:
        """Returns bool [N, O] by OBJECTIVES."""
        wanted = (self.targets.items_of(user_row), self.repeats.items_of(user_row))
        return np.stack([np.isin(rows, items) for items in wanted], axis=1)


def _stacked(parts: list[_Part]) -> RankingRows:
    if not parts:
        raise ValueError("no user of the snapshot has a target: nothing to learn from")
    dense, sparse, labels, is_new, weights = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    lengths = [len(part[0]) for part in parts]
    return RankingRows(
        dense=dense,
        sparse=sparse,
        labels=labels.astype(np.float32),
        is_new=is_new,
        weights=weights.astype(np.float32),
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
    )


def dropped_views(share: float, rng: np.random.Generator) -> tuple[str, ...]:
    """Returns the names of views that a query is to do without.

    Args:
        share: of the queries, for each view alone.
    """
    drawn = rng.random(len(_DROPPED)) < share
    return tuple(v.name for v, gone in zip(_DROPPED, drawn, strict=True) if gone)


def query_without(query: Query, dropped: Collection[str]) -> Query:
    """Returns the query without the rows of its own that are dropped."""
    rows = {k: row for k, row in query.request_rows.items() if k not in dropped}
    return replace(query, request_rows=rows)


def drawn_newcomer(
    newcomers: Newcomers, user_row: int, rng: np.random.Generator
) -> NewcomerStore:
    """Returns the store that has met the user a drawn number of events ago."""
    return newcomers.store(user_row, int(rng.choice(NUM_KNOWN_EVENTS)))


def _drawn_users(
    known: Snapshot, targets: Targets, options: RowOptions
) -> npt.NDArray[np.int64]:
    has_target = np.diff(targets.offsets) > 0
    users = np.flatnonzero(has_target & (known.num_user_events > 0))
    if len(users) <= options.max_queries:
        return users
    rng = np.random.default_rng([options.seed, known.cut_time])
    return np.sort(rng.choice(users, options.max_queries, replace=False))


def _sampled(
    rows: RowArray,
    wanted: npt.NDArray[np.int32],
    options: RowOptions,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """All targets and a sample of the others: positions ascending, and weights."""
    is_wanted = np.isin(rows, wanted)
    others = np.flatnonzero(~is_wanted)
    taken = min(options.negatives, len(others))
    chosen = rng.choice(others, taken, replace=False)
    kept = np.sort(np.r_[np.flatnonzero(is_wanted), chosen]).astype(np.int64)
    weight = len(others) / max(taken, 1)
    return kept, np.where(is_wanted[kept], 1.0, weight).astype(np.float32)


def _repeated(known: Snapshot, end_time: int) -> Targets:
    """Pairs bought at two different times or more in the label period."""
    table = known.table
    start, end = np.searchsorted(table.times, [known.cut_time, end_time])
    of_table = np.full(len(table.items), -1, np.int64)
    of_table[known.table_rows] = np.arange(known.num_items)
    rows = of_table[table.item_rows[start:end]]
    kept = rows >= 0
    pairs = table.user_rows[start:end][kept] * np.int64(known.num_items) + rows[kept]
    times = table.times[start:end][kept]
    distinct = np.unique(np.stack([pairs, times], axis=1), axis=0)[:, 0]
    values, counts = np.unique(distinct, return_counts=True)
    users, items = np.divmod(values[counts > 1], known.num_items)
    offsets = np.searchsorted(users, np.arange(known.num_users + 1))
    return Targets(offsets, items.astype(np.int32), np.zeros(len(items), bool))


def _promoted_rows(known: Snapshot) -> RowArray:
    """Catalogue rows of the items that are promoted at the cut."""
    promotions = known.table.promotions
    active = promotions.start_times <= known.cut_time
    active &= promotions.end_times > known.cut_time
    of_table = np.full(len(known.table.items), -1, np.int64)
    of_table[known.table_rows] = np.arange(known.num_items)
    rows = of_table[promotions.item_rows[active]]
    return np.unique(rows[rows >= 0])


def _drawn_promoted(
    promoted: RowArray, rows: RowArray, options: RowOptions, rng: np.random.Generator
) -> RowArray:
    if not len(promoted) or not options.promoted:
        return np.zeros(0, np.int64)
    drawn = rng.choice(promoted, min(options.promoted, len(promoted)), replace=False)
    return np.setdiff1d(drawn, rows)


def _with_rows(candidates: CandidateSet, rows: RowArray) -> CandidateSet:
    more = CandidateSet.of_rows(rows)
    return CandidateSet(
        np.r_[candidates.rows, more.rows],
        np.concatenate([candidates.source_scores, more.source_scores]),
        np.concatenate([candidates.source_ranks, more.source_ranks]),
    )
