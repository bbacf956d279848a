"""Distils the reduced ranker: it learns the full one's opinion on made-up requests."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import DOT, ModelConfig
from stepwell.models.reduced_ranker import ReducedRanker
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.newcomers import Newcomers
from stepwell.training.ranker_trainer import Progress, RankerTrainer, TrainerOptions
from stepwell.training.ranker_training import logits_of
from stepwell.training.ranking_rows import (
    OBJECTIVES,
    RankingRows,
    RowSource,
    drawn_newcomer,
    dropped_views,
    query_without,
)

REDUCED_DENSE = (
    "user_trips_per_week",
    "user_basket",
    "user_idle_days",
    "user_novelty",
    "user_recent",
    "own_is",
    "own_count",
    "own_recent",
    "own_recent_at_last",
    "own_recent_7",
    "own_recent_90",
    "own_idle_days",
    "own_interval_days",
    "own_due",
    "own_per_day",
    "own_trip_share",
    "own_rank",
    "item_buyers_28d",
    "item_decayed_21d",
    "item_repeat_share",
    "item_interval_days",
    "item_momentum",
    "item_trend",
    "item_idle_days",
    "source_history_score",
    "source_co_occurrence_score",
    "source_co_occurrence_rank",
    "source_popular_rank",
    "missing_user_history",
    "missing_user_activity",
    "missing_user_profile",
    "user_activity_click_decayed_1d",
    "user_activity_purchase_decayed_7d",
    "item_activity_click_decayed_1d",
    "item_activity_purchase_decayed_7d",
)
"""The dense features of the reduced ranker, beside all affinities of one column."""


@dataclass(frozen=True, slots=True)
class DistillOptions:
    """Options of the distillation.

    Attributes:
        num_requests: made-up requests at most.
        max_delay_days: a request comes up to so many days after the cut.
        drop_view_share, newcomer_share: as in RowOptions.
        embedding_dim, widths: of the reduced ranker.
        trainer: how it is trained.
    """

    num_requests: int = 4_000
    max_delay_days: int = 7
    drop_view_share: float = 0.05
    newcomer_share: float = 0.1
    embedding_dim: int = 4
    widths: tuple[int, ...] = (48, 24)
    trainer: TrainerOptions = field(
        default_factory=lambda: TrainerOptions(epochs=6, learning_rate=5e-3)
    )


def reduced_config(
    full: ModelConfig, affinity_columns: tuple[str, ...], options: DistillOptions
) -> ModelConfig:
    """Returns the reduced ranker's config: a part of the full one's columns."""
    finest = affinity_columns[-1:] if affinity_columns else ()
    prefixes = tuple(f"affinity_{column}_" for column in finest)
    dense = [
        column
        for column in full.dense
        if column.name in REDUCED_DENSE or column.name.startswith(prefixes)
    ]
    return replace(
        full,
        dense=tuple(
            dense if prefixes else [c for c in full.dense if c.name in REDUCED_DENSE]
        ),
        sparse=full.sparse[:1],
        embedding_dim=options.embedding_dim,
        bottom_widths=options.widths,
        top_widths=(),
        interaction=DOT,
    )


def request_rows(
    source: RowSource, options: DistillOptions, progress: Progress | None = None
) -> RankingRows:
    """Returns unlabelled rows of made-up requests: users of the data, later moments.

    Args:
        source: stages of the release to be, with the REDUCED tier's plan.
        options: how many and how late.
    """
    known = source.known
    rng = np.random.default_rng([options.trainer.seed, known.cut_time])
    users = np.flatnonzero(known.num_user_events > 0)
    drawn = rng.choice(users, min(options.num_requests, 4 * len(users)))
    newcomers = Newcomers(known)
    dense, sparse, is_new, lengths = [], [], [], [0]
    for number, user_row in enumerate(drawn):
        delay = int(rng.integers(0, options.max_delay_days * DAY_SECONDS + 1))
        query = source.query(int(user_row), delay)
        if rng.random() < options.newcomer_share:
            store = drawn_newcomer(newcomers, int(user_row), rng)
            user = source.user_of(query, store)
        else:
            dropped = dropped_views(options.drop_view_share, rng)
            query = query_without(query, dropped)
            user = source.user(query, dropped)
        candidates = source.candidates(query, user)
        batch = source.features.hydrate(query, user, candidates)
        dense.append(batch.dense)
        sparse.append(batch.sparse)
        is_new.append(~np.isin(candidates.rows, user.history_rows))
        lengths.append(len(candidates))
        if progress and number % 100 == 0:
            progress("requests", number / len(drawn))
    num_rows = sum(lengths)
    return RankingRows(
        dense=np.concatenate(dense),
        sparse=np.concatenate(sparse),
        labels=np.zeros((num_rows, len(OBJECTIVES)), np.float32),
        is_new=np.concatenate(is_new),
        weights=np.ones(num_rows, np.float32),
        offsets=np.cumsum(lengths).astype(np.int64),
    )


def distilled(
    full: Dlrm,
    rows: RankingRows,
    config: ModelConfig,
    options: DistillOptions,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> ReducedRanker:
    """Returns a reduced ranker that agrees with `full` on `rows`.

    Its soft labels are the full ranker's probabilities; the listwise terms make it care
    for the order at the top as the full one sees it.

    Source: Hinton et al., arXiv:1503.02531; Tang & Wang, KDD 2018.
    """
    soft = expit(logits_of(full, rows))
    taken = narrowed(rows, full.config, config)
    taken = replace(taken, labels=soft.astype(np.float32))
    torch.manual_seed(options.trainer.seed)
    model = ReducedRanker(config)
    RankerTrainer(model, config, options.trainer, checkpoint).train(taken, progress)
    return model


def narrowed(rows: RankingRows, full: ModelConfig, config: ModelConfig) -> RankingRows:
    """Returns `rows` with the columns of `config` only."""
    dense = [full.dense_names.index(name) for name in config.dense_names]
    sparse = [full.sparse_names.index(name) for name in config.sparse_names]
    return replace(
        rows,
        dense=np.ascontiguousarray(rows.dense[:, dense]),
        sparse=np.ascontiguousarray(rows.sparse[:, sparse]),
    )
