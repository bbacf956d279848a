"""From the files of a release to an engine that answers at full speed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from stepwell.base.clock import Clock
from stepwell.base.errors import DataLossError
from stepwell.base.metrics import Metrics
from stepwell.degradation.slate_cache import SlateCache
from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.catalogue import catalogue_for
from stepwell.features.item_columns import ITEM_COLUMNS_NAME, ItemColumns
from stepwell.features.user_hydrator import UserHydrator
from stepwell.index.ann_index import AnnIndex
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import RankerConfig
from stepwell.pipeline.executor import Executor, Stages
from stepwell.pipeline.planner import Planner, PlannerOptions
from stepwell.pipeline.stages import Scorer
from stepwell.ranking.batcher import BatchingOptions, BatchingScorer
from stepwell.ranking.full_scorer import FullScorerOptions, load_full_scorer
from stepwell.ranking.reduced_scorer import load_reduced_scorer
from stepwell.releases.manifest import Manifest
from stepwell.reranking.item_traits import ItemTraits, categorical_columns
from stepwell.reranking.policy_filter import PolicyFilter, PolicyRules
from stepwell.reranking.stage import RerankingOptions, RerankingStage
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.events import history_types_of
from stepwell.schema.vocabulary import RowArray, Vocabulary
from stepwell.serving.card_costs import card_costs
from stepwell.serving.engine import Engine
from stepwell.serving.item_names import StoredItemNames
from stepwell.serving.popular_slates import MemorySlates
from stepwell.serving.responses import ReleaseFacts
from stepwell.serving.warm_up import warm_up
from stepwell.stores.key_value_store import KeyValueStore

VOCABULARY_FILE = "vocabulary.safetensors"
_INDEX_ID_DIGITS = 16
_RESERVE_LIMIT = 2_000


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


class EngineBuilder:
    """Builds engines over one online store.

    Args:
        store: online features; guarded by its breaker where there is one.
        clock: monotonic time.
        metrics: of the stages.
        options: settings.

    Concurrency: thread-safe; builds off the request path.
    """

    def __init__(
        self,
        store: KeyValueStore,
        clock: Clock,
        metrics: Metrics,
        options: EngineOptions | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._options = options or EngineOptions()

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
        engine = self.build_from(directory, manifest.release_id, space)
        warm_up(engine, manifest.metadata.data_watermark_seconds)
        return engine

    def build_from(
        self, directory: Path, release_id: str, embedding_space_hash: str
    ) -> Engine:
        """Returns the engine of a folder of artifacts, cold.

        Args:
            directory: artifacts in the release's form; need not be published.
            release_id: as answers name it.
            embedding_space_hash: hex digits.
        """
        vocabulary = Vocabulary.load(directory / VOCABULARY_FILE)
        retrieval = RetrievalArtifacts.load(directory, self._options.open_index)
        config = RankerConfig.load(directory)
        catalogue = catalogue_for(config)
        tensors = _item_tensors(directory)
        items = ItemColumns.from_tensors(tensors, catalogue)
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
        stages = Stages(
            query_hydrator=UserHydrator(
                self._store,
                vocabulary,
                lists.segment_names,
                metrics=self._metrics,
            ),
            retriever=retrieval.stage(self._metrics),
            candidate_hydrator=CandidateFeatures(items, catalogue),
            scorers={
                "full": self._full_scorer(directory, names, items),
                "reduced": load_reduced_scorer(directory, *names),
            },
            reranker=RerankingStage(
                policy, traits, _reserve(lists), self._options.reranking
            ),
            popular=MemorySlates(slates, lists, policy, self._clock, len(vocabulary)),
        )
        index_id = embedding_space_hash[:_INDEX_ID_DIGITS]
        facts = ReleaseFacts(
            release_id, index_id, vocabulary, StoredItemNames.load(directory)
        )
        executor = Executor(stages, Planner(self._options.planner))
        return Engine(facts, executor, slates, card_costs(directory), self._clock)

    def _full_scorer(
        self,
        directory: Path,
        names: tuple[tuple[str, ...], tuple[str, ...]],
        items: ItemColumns,
    ) -> Scorer:
        options = self._options
        full = FullScorerOptions(
            options.scorer_precision, items.categories, options.max_record_bytes
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
