"""What the peer of benchmark `serving` reads: made from our release, once.

The same vectors, columns and weights as ours, in the form that suits the peer best:
item columns are standardised ahead, and a user is one short blob that holds the vector,
so that nothing is computed a request that can be computed before.

Letters: N items, D dimension, F dense columns, T tables.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import hnswlib
import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file

from bench.serving_release import EF_CONSTRUCTION, WATERMARK, BenchRelease, M
from bench.serving_spec import ITEM_DENSE, USER_DENSE, number_of
from stepwell.features.item_columns import ITEM_COLUMNS_NAME
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.index.ann_index import HnswIndex
from stepwell.models.ranker_config import ModelConfig, RankerConfig
from stepwell.models.ranker_inputs import DenseInputs
from stepwell.models.two_tower_user import UserTower
from stepwell.retrieval.artifacts import INDEX_FILE, POPULAR_FILE, USER_TOWER_FILE
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.feature_registry import DAY_SECONDS, USER_HISTORY
from stepwell.schema.history_row import history_of_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary

VOCABULARY_FILE = "vocabulary.safetensors"
_INDEX, _ITEMS = "index.bin", "items.safetensors"
_BATCH_USERS = 256

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PeerUser:
    """One user as the blob in Redis says it.

    Attributes:
        vector: float32 [D], searches the index.
        dense: float32 [len(USER_DENSE)], standardised.
        segment_row: of the last table.
    """

    vector: Floats
    dense: Floats
    segment_row: int

    def pack(self) -> bytes:
        """Returns the segment's row, the dense columns and the vector, as float32."""
        row = np.array([self.segment_row], np.float32)
        return np.concatenate([row, self.dense, self.vector]).tobytes()

    @classmethod
    def unpack(cls, blob: bytes) -> Self:
        """Reads what `pack` gave; nothing is copied."""
        values = np.frombuffer(blob, np.float32)
        num_dense = len(USER_DENSE)
        return cls(values[1 + num_dense :], values[1 : 1 + num_dense], int(values[0]))


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """The peer's own files of a release.

    Attributes:
        index: hnswlib's, over the N item vectors.
        items: `dense` float32 [N, F], standardised, the user's columns zero; `sparse`
            int64 [N, T], the segment's column zero.
    """

    index: Path
    items: Path

    @classmethod
    def of(cls, release: BenchRelease) -> Self:
        """Returns the files, made unless they are there.

        Cost: the index takes about half a minute on one core at the default sizes.
        """
        folder = release.state.folder / "peer"
        if not folder.exists():
            making = folder.with_suffix(".tmp")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            _save_index(release.release, making / _INDEX)
            _save_items(release.release, making / _ITEMS)
            making.rename(folder)
        return cls(folder / _INDEX, folder / _ITEMS)


def peer_users(release: BenchRelease) -> Iterator[dict[str, bytes]]:
    """Yields user id -> packed PeerUser, some hundred users at a time."""
    tower = UserTower.load(release.release / USER_TOWER_FILE).vectors()
    vocabulary = Vocabulary.load(release.release / VOCABULARY_FILE)
    segments = PopularLists.load(release.release / POPULAR_FILE).segment_names
    rows = {name: row for row, name in enumerate(segments)}
    config = RankerConfig.load(release.release).full
    for batch in UserStateFile.load(release.user_state).batches(_BATCH_USERS):
        users = {}
        for user_id, stored in batch.items():
            history = history_of_row(stored[USER_HISTORY.name])
            known = vocabulary.rows_of_keys(history.keys)
            times = history.first_time, history.last_time
            vector = tower.of(history.num_purchases, times, known, WATERMARK)
            assert vector is not None, "every made-up user has a history"
            users[user_id] = PeerUser(
                vector, _user_dense(history, config), rows.get(history.segment, 0)
            ).pack()
        yield users


def _user_dense(history: UserHistory, config: ModelConfig) -> Floats:
    """USER_DENSE as the catalogue defines them, as of the watermark, standardised."""
    trips = max(history.num_trips, 1)
    idle_days = max(WATERMARK - history.last_event_time, 0) / DAY_SECONDS
    raw = np.zeros((1, len(config.dense)), np.float32)
    values = (trips, len(history), history.num_events / trips, idle_days)
    raw[0, : len(USER_DENSE)] = values
    return _standardised(raw, config)[0, : len(USER_DENSE)]


def _standardised(raw: Floats, config: ModelConfig) -> Floats:
    values: Floats = DenseInputs(config)(torch.from_numpy(raw)).numpy()
    return values


def _save_index(release: Path, path: Path) -> None:
    ours = HnswIndex.open(release / INDEX_FILE)
    count = len(Vocabulary.load(release / VOCABULARY_FILE))
    vectors = ours.vectors(np.arange(count))
    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(count, M=M, ef_construction=EF_CONSTRUCTION)
    index.add_items(vectors, np.arange(count), num_threads=1)
    index.save_index(str(path))


def _save_items(release: Path, path: Path) -> None:
    config = RankerConfig.load(release).full
    columns = load_file(release / ITEM_COLUMNS_NAME)
    count = len(columns[number_of(ITEM_DENSE[0])])
    raw = np.zeros((count, len(config.dense)), np.float32)
    for place, name in enumerate(ITEM_DENSE, len(USER_DENSE)):
        raw[:, place] = columns[number_of(name)]
    dense = _standardised(raw, config)
    dense[:, : len(USER_DENSE)] = 0.0
    sparse = np.zeros((count, len(config.sparse)), np.int64)
    for place, name in enumerate(config.sparse_names[:-1]):
        sparse[:, place] = columns[f"category/{name}"]
    save_file({"dense": dense, "sparse": sparse}, path)
