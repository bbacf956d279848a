"""From the files of a release to an engine that answers at full speed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from stepwell.base.clock import Clock
from stepwell.base.errors import DataLossError
from stepwell.base.metrics import Metrics
from stepwell.base.pace import Pace
from stepwell.degradation.slate_cache import SlateCache
from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.catalogue import catalogue_for
from stepwell.features.item_columns import ITEM_COLUMNS_NAME, ItemColumns
from stepwell.features.online_reader import RowStore
from stepwell.features.release_users import ReleaseUsers
from stepwell.feedback.item_overlay import ItemOverlay, ItemOverlays
from stepwell.index.ann_index import AnnIndex
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import (
    FULL_RANKER_NAME,
    RANKER_CONFIG_NAME,
    RankerConfig,
)
from stepwell.pipeline.executor import Executor, Stages
from stepwell.pipeline.planner import Planner, PlannerOptions
from stepwell.pipeline.stages import Scorer
from stepwell.ranking.batcher import BatchingOptions, BatchingScorer
from stepwell.ranking.compiled_cache import CompiledCache
from stepwell.ranking.full_scorer import FullScorerOptions, load_full_scorer
from stepwell.ranking.popular_prior import FULL_PRIOR, REDUCED_PRIOR, PopularPrior
from stepwell.ranking.reduced_scorer import load_reduced_scorer
from stepwell.releases.manifest import Manifest
from stepwell.reranking.item_traits import ItemTraits, categorical_columns
from stepwell.reranking.policy_filter import PolicyFilter, PolicyRules
from stepwell.reranking.stage import RerankingOptions, RerankingStage
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.events import history_types_of
from stepwell.schema.feature_registry import ITEM_ACTIVITY
from stepwell.schema.vocabulary import VOCABULARY_FILE, RowArray, Vocabulary
from stepwell.serving.card_costs import card_costs
from stepwell.serving.engine import Engine
from stepwell.serving.item_names import ITEM_NAMES_FILE, StoredItemNames
from stepwell.serving.popular_slates import MemorySlates
from stepwell.serving.recent_queries import RecentQueries
from stepwell.serving.release_parts import check_item_counts, check_release_parts
from stepwell.serving.responses import ReleaseFacts
from stepwell.serving.warm_up import NUM_ROUNDS, replay, warm_up

_INDEX_ID_DIGITS = 16
_RESERVE_LIMIT = 2_000
PACKED_FILES = frozenset({FULL_RANKER_NAME, RANKER_CONFIG_NAME, ITEM_COLUMNS_NAME})
"""What a full ranker is packed of."""
_NOT_KNOWN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of every engine that a process builds.

    Attributes:
        planner: the work of each tier.
        policy: what may be shown.
        reranking: what re-ranking does beside.
        max_cached_users: users whose last slate is kept.
        slate_freshness_us: a slate older than this is not served again.
        scorer_precision: of the full ranker's products.
        max_record_bytes: memory that its records of the items may take; a catalogue
            that needs more is scored without them.
        batching: when requests share a call of the full ranker.
        open_index: embedding-space hash -> the index to search in place of the
            release's own; None searches that one.
        compiled: keeps packed rankers for the next start; None packs every time.
        load_cpu_share: of one core, for every engine but the first: callers are
            answered meanwhile.
    """

    planner: PlannerOptions = field(default_factory=PlannerOptions)
    policy: PolicyRules = field(default_factory=PolicyRules)
    reranking: RerankingOptions = field(default_factory=RerankingOptions)
    max_cached_users: int = 50_000
    slate_freshness_us: int = 3_600_000_000
    scorer_precision: Precision = "float32"
    max_record_bytes: int = 2 << 30
    batching: BatchingOptions = field(default_factory=BatchingOptions)
    open_index: Callable[[bytes], AnnIndex] | None = None
    compiled: CompiledCache | None = None
    load_cpu_share: float = 1.0


class EngineBuilder:
    """Builds engines over one online store.

    Args:
        store: online features; guarded by its breaker where there is one.
        clock: monotonic time.
        metrics: of the stages.
        options: settings.
        activity: what the event log says of items; None follows no log.

    Concurrency: thread-safe; builds off the request path.
    """

    def __init__(
        self,
        store: RowStore,
        clock: Clock,
        metrics: Metrics,
        options: EngineOptions | None = None,
        activity: ItemOverlays | None = None,
    ) -> None:
        self._activity = activity
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._options = options or EngineOptions()
        self._recent = RecentQueries()
        self._pace = Pace()

    def build(self, directory: Path, manifest: Manifest) -> Engine:
        """Returns the engine of a verified release, warmed up.

        Raises:
            DataLossError: a file is damaged or does not fit the others, or the metadata
                names no event types that are history.
            FailedPreconditionError: models and features are of different catalogues,
                or towers and index of different embedding spaces.
        """
        # Read again when the release goes live; what is wrong keeps it from that.
        history_types_of(manifest.metadata.models)
        space = manifest.metadata.embedding_space_hash
        digests = {f.path: f.sha256 for f in manifest.files if f.path in PACKED_FILES}
        pace = self._pace
        pace.begin()
        engine = self.build_from(directory, manifest.release_id, space, digests)
        recent = self._recent.newest()
        watermark = manifest.metadata.data_watermark_seconds
        warm_up(engine, watermark, 1 if recent else NUM_ROUNDS, pace)
        replay(engine, recent, self._clock.event_seconds(), pace)
        # From now on callers are answered while the next one is built.
        pace.keep_to(self._options.load_cpu_share)
        return engine

    def cancel(self) -> None:
        """Ends the build under way, and every later one, at its next step."""
        self._pace.cancel()

    def build_from(
        self,
        directory: Path,
        release_id: str,
        embedding_space_hash: str,
        digests: Mapping[str, str] = _NOT_KNOWN,
    ) -> Engine:
        """Returns the engine of a folder of artifacts, cold.

        Args:
            directory: artifacts in the release's form; need not be published.
            release_id: as answers name it.
            embedding_space_hash: hex digits.
            digests: sha256 of PACKED_FILES, where they are known to be right: the
                packed ranker may then come from the cache.
        """
        paced = self._pace.after
        vocabulary = paced(Vocabulary.load(directory / VOCABULARY_FILE))
        retrieval = paced(RetrievalArtifacts.load(directory, self._options.open_index))
        check_release_parts(len(vocabulary), retrieval)
        self._pace.step()
        config = RankerConfig.load(directory)
        catalogue = catalogue_for(config)
        tensors = paced(_item_tensors(directory))
        items = paced(ItemColumns.from_tensors(tensors, catalogue))
        names_of_items = StoredItemNames.load(directory)
        counts = {ITEM_COLUMNS_NAME: len(items), ITEM_NAMES_FILE: len(names_of_items)}
        check_item_counts(len(vocabulary), counts)
        traits = ItemTraits(
            categories=categorical_columns(tensors), first_seen=items.first_seen
        )
        policy = PolicyFilter.compile(
            self._options.policy, vocabulary, traits.categories, metrics=self._metrics
        )
        slates = SlateCache(
            self._options.max_cached_users, self._options.slate_freshness_us
        )
        names = (catalogue.dense_names, catalogue.sparse_names)
        lists = retrieval.popular
        overlay = self._overlay(vocabulary, items)
        users = ReleaseUsers(directory, catalogue, vocabulary, lists.segment_names)
        stages = Stages(
            query_hydrator=paced(users.hydrator(self._store, self._metrics)),
            retriever=paced(retrieval.stage(self._metrics, live=overlay)),
            candidate_hydrator=paced(CandidateFeatures(items, catalogue, overlay)),
            scorers={
                "full": PopularPrior(
                    paced(self._full_scorer(directory, names, items, digests)),
                    names[0],
                    FULL_PRIOR,
                ),
                "reduced": PopularPrior(
                    paced(load_reduced_scorer(directory, *names)),
                    names[0],
                    REDUCED_PRIOR,
                ),
            },
            reranker=RerankingStage(
                policy,
                traits,
                _reserve(lists),
                self._options.reranking,
                lists.new_rows.astype(np.int64),
            ),
            popular=MemorySlates(slates, lists, policy, self._clock, len(vocabulary)),
        )
        index_id = embedding_space_hash[:_INDEX_ID_DIGITS]
        facts = ReleaseFacts(
            release_id,
            index_id,
            vocabulary,
            names_of_items,
            bytes.fromhex(catalogue.schema_hash()),
        )
        executor = Executor(stages, Planner(self._options.planner))
        costs = card_costs(directory)
        return Engine(facts, executor, slates, costs, self._clock, self._recent)

    def _overlay(
        self, vocabulary: Vocabulary, items: ItemColumns
    ) -> ItemOverlay | None:
        """What the log says of the release's items, on top of its own counts."""
        if self._activity is None:
            return None
        base = items.activity
        if base is None:
            base = np.zeros(len(vocabulary), ITEM_ACTIVITY.row_dtype)
        return self._activity.overlay_of(vocabulary, base)

    def _full_scorer(
        self,
        directory: Path,
        names: tuple[tuple[str, ...], tuple[str, ...]],
        items: ItemColumns,
        digests: Mapping[str, str],
    ) -> Scorer:
        options = self._options
        full = FullScorerOptions(
            options.scorer_precision,
            items.categories,
            options.max_record_bytes,
            options.compiled,
            digests,
            self._pace,
        )
        scorer = load_full_scorer(directory, *names, full)
        if not options.batching.batches:
            return scorer
        return BatchingScorer(scorer, options.batching, self._clock, self._metrics)


def _item_tensors(directory: Path) -> dict[str, npt.NDArray[Any]]:
    path = directory / ITEM_COLUMNS_NAME
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataLossError(f"{path}: {error}") from error


def _reserve(lists: PopularLists) -> list[RowArray]:
    """Popular rows by segment: what fills a slate that filters left short."""
    segments = range(len(lists.segment_names))
    return [lists.popular(segment, _RESERVE_LIMIT).rows for segment in segments]
