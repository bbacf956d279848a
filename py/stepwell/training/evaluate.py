"""Scores a recommender on held-out time, by the project's protocol."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stepwell.schema.vocabulary import RowArray
from stepwell.training.popularity import new_items
from stepwell.training.quality_metrics import (
    ListQuality,
    coverage,
    exposure,
    intra_list_diversity,
    novelty,
)
from stepwell.training.split import Snapshot, Targets

LIST_LENGTH = 1_000
"""Asked of every user: 500 are still left when the pairs seen before are taken out."""
COLD_USER_EVENTS = 20
"""Users with fewer events before the cut are scored apart as cold."""
COLD_ITEM_BUYERS = 10
"""Targets with fewer buyers before the cut are scored apart as cold."""

Recommend = Callable[[str, int, int], RowArray]
"""(user id, event time, k) -> at most k rows of the catalogue, best first."""
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What one recommender is worth.

    Attributes:
        all: all targets.
        new: pairs never seen before the cut; seen pairs are out of the lists.
        cold_users: all targets of users with few events; `cold_items`: targets that few
            users had bought, all users; `new_items`: targets that had just come into
            the catalogue, all users.
        coverage, diversity, novelty: of the top 10, see quality_metrics.
        exposure: places of the top 10 by category column and name.
        call_us: microseconds of every call, in order.
    """

    all: ListQuality
    new: ListQuality
    cold_users: ListQuality
    cold_items: ListQuality
    new_items: ListQuality
    coverage: float
    diversity: dict[str, float]
    novelty: float
    exposure: dict[str, dict[str, float]]
    call_us: npt.NDArray[np.int64] = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """Returns the figures as plain JSON values."""
        return {
            "ndcg_at_10": self.all.ndcg_at_10.value,
            "ndcg_at_10_error": self.all.ndcg_at_10.standard_error,
            "ndcg_at_10_new": self.new.ndcg_at_10.value,
            "ndcg_at_10_new_error": self.new.ndcg_at_10.standard_error,
            "hit_rate_at_10": self.all.hit_rate_at_10.value,
            "hit_rate_at_10_new": self.new.hit_rate_at_10.value,
            "recall_at_100": self.all.recall_at_100.value,
            "recall_at_500": self.all.recall_at_500.value,
            "recall_at_100_new": self.new.recall_at_100.value,
            "recall_at_500_new": self.new.recall_at_500.value,
            "ndcg_at_10_cold_users": self.cold_users.ndcg_at_10.value,
            "num_cold_users": self.cold_users.num_users,
            "recall_at_500_cold_items": self.cold_items.recall_at_500.value,
            "num_cold_item_targets": self.cold_items.num_targets,
            "recall_at_500_new_items": self.new_items.recall_at_500.value,
            "num_new_item_targets": self.new_items.num_targets,
            "num_users": self.all.num_users,
            "num_targets": self.all.num_targets,
            "num_new_targets": self.new.num_targets,
            "coverage_at_10": self.coverage,
            "diversity_at_10": self.diversity,
            "novelty_at_10": self.novelty,
            "exposure_at_10": self.exposure,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out time: users with an event before the cut and a target after it.

    Attributes:
        known: what was known at the cut.
        targets: what users did until the end.
        user_rows: int64 [U], the users that are asked for.
        end_time: unix seconds, exclusive.
    """

    known: Snapshot
    targets: Targets
    user_rows: npt.NDArray[np.int64]
    end_time: int

    @classmethod
    def of(
        cls, known: Snapshot, end_time: int, max_users: int | None = None
    ) -> "Evaluation":
        """Returns the evaluation of [known.cut_time, end_time).

        Args:
            max_users: every n-th user so that at most so many are left; None is all.
        """
        targets = known.targets(end_time)
        has_target = np.diff(targets.offsets) > 0
        users = np.flatnonzero(has_target & (known.num_user_events > 0))
        if max_users is not None and len(users) > max_users:
            users = users[:: -(-len(users) // max_users)]
        return cls(known, targets, users, end_time)

    def lists(
        self, recommend: Recommend, progress: Progress | None = None
    ) -> tuple[list[RowArray], npt.NDArray[np.int64]]:
        """Asks for every user; returns the lists and the microseconds of each call."""
        lists, call_us = [], np.zeros(len(self.user_rows), np.int64)
        for number, user_row in enumerate(self.user_rows):
            user_id = self.known.table.users.id_of_row(int(user_row))
            start_ns = time.perf_counter_ns()
            rows = recommend(user_id, self.known.cut_time, LIST_LENGTH)
            call_us[number] = (time.perf_counter_ns() - start_ns) // 1_000
            lists.append(rows)
            if progress and number % 50 == 0:
                progress("evaluate", number / len(self.user_rows))
        return lists, call_us

    def report(
        self, lists: list[RowArray], call_us: npt.NDArray[np.int64]
    ) -> QualityReport:
        """Scores the lists of `user_rows`, in order."""
        everything = [self.targets.items_of(int(u)) for u in self.user_rows]
        fresh = [self.targets.items_of(int(u), True) for u in self.user_rows]
        unseen = [
            rows[~np.isin(rows, self.known.pairs.items_of(int(user)))]
            for user, rows in zip(self.user_rows, lists, strict=True)
        ]
        buyers = np.bincount(
            self.known.pairs.item_rows, minlength=self.known.num_items
        ).astype(np.float64)
        is_cold = self.known.num_user_events[self.user_rows] < COLD_USER_EVENTS
        num_users = int((self.known.num_user_events > 0).sum())
        just_in = new_items(self.known)
        return QualityReport(
            all=ListQuality.of(lists, everything),
            new=ListQuality.of(unseen, fresh),
            cold_users=ListQuality.of(
                [rows for rows, cold in zip(lists, is_cold, strict=True) if cold],
                [rows for rows, cold in zip(everything, is_cold, strict=True) if cold],
            ),
            cold_items=ListQuality.of(
                lists, [rows[buyers[rows] < COLD_ITEM_BUYERS] for rows in everything]
            ),
            new_items=ListQuality.of(
                lists, [rows[np.isin(rows, just_in)] for rows in everything]
            ),
            coverage=coverage(lists, self.known.num_items),
            diversity={
                name: intra_list_diversity(lists, codes)
                for name, codes, _ in self._categories()
            },
            novelty=novelty(lists, buyers, num_users),
            exposure={
                name: {names[c]: part for c, part in exposure(lists, codes).items()}
                for name, codes, names in self._categories()
                if len(names) <= 64
            },
            call_us=call_us,
        )

    def export(self, lists: list[RowArray], path: Path) -> int:
        """Writes (user, item, rank) of the lists as Parquet; returns the rows written.

        Ids are those of the data; ranks start at 1. `all` is scored on ranks up to 500;
        the ranks behind them fill up `new`, where pairs seen before are taken out.
        """
        users: list[str] = []
        items: list[str] = []
        ranks: list[int] = []
        for user_row, rows in zip(self.user_rows, lists, strict=True):
            user_id = self.known.table.users.id_of_row(int(user_row))
            users += [user_id] * len(rows)
            items += self.known.items.ids_of_rows(rows)
            ranks += range(1, len(rows) + 1)
        frame = pl.DataFrame(
            {"user": users, "item": items, "rank": ranks},
            schema={"user": pl.String, "item": pl.String, "rank": pl.Int32},
        )
        frame.write_parquet(path)
        return len(ranks)

    def _categories(
        self,
    ) -> Iterator[tuple[str, npt.NDArray[np.int32], tuple[str, ...]]]:
        for name, column in self.known.table.item_table.categories.items():
            yield name, column.codes[self.known.table_rows], column.names


def evaluate(
    recommend: Recommend,
    evaluation: Evaluation,
    export: Path | None = None,
    progress: Progress | None = None,
) -> QualityReport:
    """Asks a recommender for every user and scores its answers.

    Args:
        recommend: the serving path of one tier.
        evaluation: users, targets and time.
        export: Parquet file of (user, item, rank), None writes none.
        progress: called with "evaluate" and the done share.
    """
    lists, call_us = evaluation.lists(recommend, progress)
    if export is not None:
        evaluation.export(lists, export)
    return evaluation.report(lists, call_us)
