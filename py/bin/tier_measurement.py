"""Scores every tier of a folder of artifacts through the serving path itself.

Training may not import serving; this is where the two meet.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.degradation.tier import Tier
from stepwell.features.request_features import request_rows
from stepwell.feedback.user_history_updater import packed_watermarks
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.models.precision import DEFAULT_PRECISION, Precision
from stepwell.pipeline.planner import FULL_SHAPE, REDUCED_SHAPE, PlannerOptions
from stepwell.pipeline.query import Query
from stepwell.schema.vocabulary import RowArray
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.serving.engine import Engine
from stepwell.serving.engine_builder import EngineBuilder, EngineOptions
from stepwell.serving.warm_up import warm_up
from stepwell.stores.key_value_store import WATERMARK_VIEW, KeyValueStore
from stepwell.stores.locations import open_key_value_store
from stepwell.training.evaluate import Evaluation, Recommend, evaluate
from stepwell.training.model_card import TierFigures

Progress = Callable[[str, float], None]
_NO_HURRY_US = 60_000_000
_NUM_COST_REQUESTS = 1_000
_COST_ITEMS = 20
_NEVER_US = 1 << 62
_UNKNOWN_SPACE = "0" * 64

PLAIN = PlannerOptions(
    full=replace(FULL_SHAPE, diversity_lambda=0.0),
    reduced=replace(REDUCED_SHAPE, diversity_lambda=0.0),
)
"""The protocol's figures are without re-ranking for diversity."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A way to be served that is scored: its name, its tier, and its file."""

    name: str
    tier: Tier
    export: Path | None = None


WAYS = (
    # Nothing is remembered yet when the popular list is asked; FULL then fills the
    # memory that "popular_cached" answers from.
    Measured("popular", Tier.POPULAR),
    Measured("full", Tier.FULL),
    Measured("popular_cached", Tier.POPULAR),
    Measured("reduced", Tier.REDUCED),
)


def measure_tiers(
    folder: Path,
    held_out: Evaluation,
    progress: Progress,
    ways: tuple[Measured, ...] = WAYS,
    diverse: bool = True,
    precision: Precision = DEFAULT_PRECISION,
) -> Mapping[str, TierFigures]:
    """Returns the figures of each way to be served; costs are of 20 items, one thread.

    Args:
        folder: artifacts in the release's form, user state beside it.
        held_out: who is asked for, and what they then did.
        progress: called with "evaluate" and the done share of one way.
        ways: what is scored, in this order.
        diverse: also score FULL re-ranked for diversity, as "full_diverse".
        precision: of the full ranker's products.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _engines(folder, held_out.known.cut_time, precision) as engine_of:
            figures = measured(engine_of(PLAIN), ways, held_out, progress)
            if diverse:
                way = Measured("full_diverse", Tier.FULL)
                engine = engine_of(PlannerOptions())
                figures |= measured(engine, (way,), held_out, progress)
    finally:
        torch.set_num_threads(threads)
    return figures


def measured(
    engine: Engine,
    ways: tuple[Measured, ...],
    held_out: Evaluation,
    progress: Progress,
) -> dict[str, TierFigures]:
    """Returns the figures of each way of one engine.

    Quality first, costs after: a page that is remembered hides a list of 500.
    """
    visits = _visit_times(held_out)
    reports = {
        way.name: evaluate(_asking(engine, way, visits), held_out, way.export, progress)
        for way in ways
    }
    users = held_out.user_rows[:_NUM_COST_REQUESTS].tolist()
    ids = [held_out.known.table.users.id_of_row(user) for user in users]
    figures = {}
    for way in ways:
        recommend = _asking(engine, way, visits)
        cost_us = [_cost_us(recommend, user_id, held_out) for user_id in ids]
        figures[way.name] = TierFigures(reports[way.name], np.array(cost_us, np.int64))
    return figures


def _visit_times(held_out: Evaluation) -> Mapping[str, int]:
    """When each user came, by id: what the callers' clocks say."""
    times = held_out.known.visit_times(held_out.end_time)
    id_of_row = held_out.known.table.users.id_of_row
    return {id_of_row(row): int(times[row]) for row in held_out.user_rows.tolist()}


def _asking(engine: Engine, way: Measured, visits: Mapping[str, int]) -> Recommend:
    def recommend(user_id: str, event_time: int, k: int) -> RowArray:
        query = Query(
            request_id="evaluation",
            user_id=user_id,
            num_items=k,
            event_time=event_time,
            deadline=Deadline.after_us(engine.clock, _NO_HURRY_US),
            request_rows=request_rows({}, visits[user_id]),
        )
        slate = engine.recommend(query, way.tier)
        if slate.tier is not way.tier or slate.source_failures:
            raise RuntimeError(
                f"{way.name}: served by {slate.tier.label}, "
                f"failures {slate.source_failures}"
            )
        return slate.ranked.candidates.rows

    return recommend


def _cost_us(recommend: Recommend, user_id: str, held_out: Evaluation) -> int:
    """Cost of a request for a page; the long lists of the protocol are not usual."""
    start_ns = time.perf_counter_ns()
    recommend(user_id, held_out.known.cut_time, _COST_ITEMS)
    return (time.perf_counter_ns() - start_ns) // 1_000


@contextmanager
def _engines(
    folder: Path, event_time: int, precision: Precision
) -> Iterator[Callable[[PlannerOptions], Engine]]:
    """Lends a way to build warm engines over a store filled with the users' state."""
    with tempfile.TemporaryDirectory() as scratch:
        store = open_key_value_store(str(Path(scratch) / "online.lmdb"))
        import_user_state(UserStateFile.load(folder.parent / USER_STATE_NAME), store)
        # Time stands still here: nobody folds a log, and nothing grows stale.
        store.put_many(WATERMARK_VIEW, packed_watermarks(WriterWatermark(_NEVER_US, 0)))

        def build(planner: PlannerOptions) -> Engine:
            options = EngineOptions(planner=planner, scorer_precision=precision)
            return warm_engine(folder, store, event_time, options)

        try:
            yield build
        finally:
            store.close()


def warm_engine(
    folder: Path, store: KeyValueStore, event_time: int, options: EngineOptions
) -> Engine:
    """Returns an engine of a folder of artifacts that has served its first requests."""
    builder = EngineBuilder(store, SystemClock(), Metrics(), options)
    engine = builder.build_from(folder, folder.name, _UNKNOWN_SPACE)
    warm_up(engine, event_time)
    return engine
