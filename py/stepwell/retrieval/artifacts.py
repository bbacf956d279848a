"""Everything that retrieval reads from a release, and the stage made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stepwell.base.metrics import Metrics
from stepwell.index.ann_index import AnnIndex, HnswIndex
from stepwell.models.two_tower_user import UserTower
from stepwell.retrieval.ann_source import AnnSource
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.retrieval.co_occurrence_source import CoOccurrenceSource
from stepwell.retrieval.history_source import HistorySource
from stepwell.retrieval.new_items_source import NewItemsSource
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.retrieval.popular_source import PopularSource
from stepwell.retrieval.recall_probe import RecallProbe
from stepwell.retrieval.stage import RetrievalOptions, RetrievalStage
from stepwell.retrieval.trending_source import LiveTrends, TrendingSource

INDEX_FILE = "index.hnsw"
USER_TOWER_FILE = "user_tower.safetensors"
CO_OCCURRENCE_FILE = "neighbours.safetensors"
POPULAR_FILE = "popular.safetensors"
RETRIEVAL_FILES = (INDEX_FILE, USER_TOWER_FILE, CO_OCCURRENCE_FILE, POPULAR_FILE)


@dataclass(frozen=True, slots=True)
class RetrievalArtifacts:
    """Retrieval's part of a release. Concurrency: safe to share.

    `index` is the release's own, or that of other processes over the same items.
    """

    user_tower: UserTower
    index: AnnIndex
    co_occurrence: CoOccurrenceModel
    popular: PopularLists

    @property
    def space_hash(self) -> bytes:
        """32 bytes that name the embedding space; goes into the manifest."""
        return self.user_tower.space_hash.tobytes()

    def stage(
        self,
        metrics: Metrics | None = None,
        options: RetrievalOptions | None = None,
        live: LiveTrends | None = None,
    ) -> RetrievalStage:
        """Returns the stage over all six sources, trending with what rises now.

        With metrics, the recall of a share of the searches of an own index is measured;
        those of other processes are measured there.
        """
        probe = None
        if metrics is not None and isinstance(self.index, HnswIndex):
            probe = RecallProbe(self.index, metrics)
        sources = (
            HistorySource(),
            CoOccurrenceSource(self.co_occurrence),
            AnnSource(self.user_tower, self.index, probe),
            TrendingSource(self.popular, live),
            PopularSource(self.popular),
            NewItemsSource(self.popular, self.co_occurrence.affinity),
        )
        return RetrievalStage(sources, metrics, options)

    def save(self, folder: Path) -> None:
        """Writes RETRIEVAL_FILES into an existing folder."""
        self.index.save(folder / INDEX_FILE)
        self.user_tower.save(folder / USER_TOWER_FILE)
        self.co_occurrence.save(folder / CO_OCCURRENCE_FILE)
        self.popular.save(folder / POPULAR_FILE)

    @classmethod
    def load(
        cls, folder: Path, open_index: Callable[[bytes], AnnIndex] | None = None
    ) -> "RetrievalArtifacts":
        """Reads what `save` wrote.

        Args:
            folder: of the release.
            open_index: embedding-space hash -> the index to search in place of the
                release's own, whose file is not opened then.
        Raises:
            DataLossError: a file is broken.
            FailedPreconditionError: tower and index are of different spaces.
        """
        tower = UserTower.load(folder / USER_TOWER_FILE)
        space_hash = tower.space_hash.tobytes()
        index: AnnIndex
        if open_index is None:
            path = folder / INDEX_FILE
            index = HnswIndex.open(path, expected_space_hash=space_hash)
        else:
            index = open_index(space_hash)
        return cls(
            user_tower=tower,
            index=index,
            co_occurrence=CoOccurrenceModel.load(folder / CO_OCCURRENCE_FILE),
            popular=PopularLists.load(folder / POPULAR_FILE),
        )
