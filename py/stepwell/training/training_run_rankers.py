"""The rankers' part of a training: rows of the snapshots, FULL, then REDUCED."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.catalogue import FeatureCatalogue
from stepwell.features.item_columns import ItemColumns
from stepwell.features.skew_profile import FeatureProfile
from stepwell.models.ranker_config import RankerConfig
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets
from stepwell.pipeline.planner import FULL_SHAPE, REDUCED_SHAPE, TierShape
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.training.distill import (
    distilled,
    narrowed,
    reduced_config,
    request_rows,
)
from stepwell.training.event_table import EventTable
from stepwell.training.item_columns_export import item_columns
from stepwell.training.quality_metrics import calibration
from stepwell.training.ranker_training import (
    Rankers,
    full_config,
    logits_of,
    train_full,
)
from stepwell.training.ranking_rows import RankingRows, RowSource, ranking_rows
from stepwell.training.retrieval_training import train_on_snapshot
from stepwell.training.rows_as_of import UserRowsAsOf
from stepwell.training.split import Snapshot, snapshot
from stepwell.training.training_config import TrainingConfig
from stepwell.training.training_cuts import Cuts

Progress = Callable[[str, float], None]
PROFILED_ITEMS = 10
"""Best items of a request whose features are its part of the profile: a page."""


@dataclass(frozen=True, slots=True)
class RankerWork:
    """What the rankers are trained from.

    Attributes:
        table: all events; only those before the release's cut are used.
        catalogue: the features.
        cuts: of the snapshots and the release.
        config: settings.
        work_dir: folder for checkpoints.
    """

    table: EventTable
    catalogue: FeatureCatalogue
    cuts: Cuts
    config: TrainingConfig
    work_dir: Path


def trained_rankers(
    work: RankerWork,
    known: Snapshot,
    artifacts: RetrievalArtifacts,
    progress: Progress,
) -> tuple[Rankers, FeatureProfile, dict[str, Any]]:
    """Returns both rankers, what they are to expect, and facts for the model card.

    Args:
        work: data, cuts and settings.
        known, artifacts: as of the release's cut, where REDUCED is distilled.
        progress: called with a part's name and its done share.
    """
    rows = _labelled_rows(work, progress)
    config, items = work.config, _items(known, work.catalogue)
    num_segments = len(artifacts.popular.segment_names)
    full_model = full_config(rows, work.catalogue, items, num_segments, config.ranker)
    full = train_full(
        rows, full_model, config.ranker, work.work_dir / "full_ranker", progress
    )
    reduced_model = reduced_config(
        full_model, work.catalogue.affinity_columns, config.distill
    )
    asked = request_rows(
        _source(work, known, artifacts, REDUCED_SHAPE), config.distill, progress
    )
    checkpoint = work.work_dir / "reduced_ranker"
    reduced = distilled(
        full, asked, reduced_model, config.distill, checkpoint, progress
    )
    rankers = Rankers(
        RankerConfig(
            affinity_columns=work.catalogue.affinity_columns,
            embedded_columns=work.catalogue.embedded_columns,
            feature_schema_hash=work.catalogue.schema_hash(),
            full=full_model,
            reduced=reduced_model,
            views=work.catalogue.views,
        ),
        full,
        reduced,
    )
    logits = logits_of(full, rows)[:, 0]
    profile = profile_of(work.catalogue, rows, logits)
    return rankers, profile, _facts(rankers, rows, asked, logits)


def profile_of(
    catalogue: FeatureCatalogue, rows: RankingRows, logits: npt.NDArray[np.float32]
) -> FeatureProfile:
    """Returns the distribution of the features that are to be shown.

    Of each query the best items by the full ranker: what serving logs is of the items
    shown, and all candidates of a request are distributed otherwise.

    Args:
        rows: that the full ranker learned from.
        logits: float32 [R], its own.
    """
    shown = [
        start + np.argsort(-logits[start:end], kind="stable")[:PROFILED_ITEMS]
        for start, end in pairwise(rows.offsets.tolist())
    ]
    dense = rows.dense[np.concatenate(shown)]
    names = catalogue.dense_names
    return FeatureProfile.of(catalogue.schema_hash(), names, dense, len(shown))


def _labelled_rows(work: RankerWork, progress: Progress) -> RankingRows:
    """Rows of every snapshot; retrieval is trained as of each, on its past only."""
    parts: list[RankingRows] = []
    for cut in work.cuts.snapshot_cuts:
        num_queries = sum(part.num_queries for part in parts)
        enough = num_queries >= work.config.min_queries
        if enough and len(parts) >= work.config.num_snapshots:
            break
        known = snapshot(work.table, cut)
        artifacts = train_on_snapshot(known, work.config.as_of, work.work_dir, progress)
        source = _source(work, known, artifacts, FULL_SHAPE)
        end = cut + work.cuts.period_seconds
        parts.append(ranking_rows(source, end, work.config.rows, progress))
    return RankingRows.joined(parts)


def _source(
    work: RankerWork, known: Snapshot, artifacts: RetrievalArtifacts, shape: TierShape
) -> RowSource:
    return RowSource(
        known=known,
        retriever=artifacts.stage(),
        features=CandidateFeatures(_items(known, work.catalogue), work.catalogue),
        plan=unhurried_plan(shape),
        users=UserRowsAsOf(known),
        segment_names=tuple(artifacts.popular.segment_names),
    )


def _items(known: Snapshot, catalogue: FeatureCatalogue) -> ItemColumns:
    return ItemColumns.from_tensors(item_columns(known), catalogue)


def unhurried_plan(shape: TierShape) -> ExecutionPlan:
    """Returns the plan of a tier with a minute for every stage."""
    minute = 60_000_000
    return ExecutionPlan(
        scorer=shape.scorer,
        source_limits=shape.source_limits,
        num_candidates=shape.num_candidates,
        ef_search=shape.ef_search,
        diversity_lambda=0.0,
        budgets=StageBudgets(minute, minute, minute, minute, minute),
    )


def _facts(
    rankers: Rankers,
    rows: RankingRows,
    asked: RankingRows,
    logits: npt.NDArray[np.float32],
) -> dict[str, Any]:
    """Calibration on the training rows, weighted back; agreement of the two models."""
    predicted = expit(logits)
    full = logits_of(rankers.full, asked)[:, 0]
    taken = narrowed(asked, rankers.config.full, rankers.config.reduced)
    reduced = logits_of(rankers.reduced, taken)[:, 0]
    weights = rows.weights.astype(np.float64)
    return {
        "calibration_on_training_rows": calibration(
            predicted * weights, rows.labels[:, 0] * weights
        ),
        "reduced_agreement": float(np.corrcoef(full, reduced)[0, 1]),
        "num_training_rows": len(rows.labels),
        "num_distillation_rows": len(asked.labels),
    }
