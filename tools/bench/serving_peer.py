"""The peer of benchmark `serving`: the stack a team would glue together.

    python -m bench.serving_peer --release=DIR --user_state=FILE --scratch=DIR

grpc.aio with worker threads; per request one blob from LMDB (the user's vector and
dense features), as many of hnswlib's nearest items as our FULL tier ranks, a gather of
item columns, an eager torch DLRM with the columns, tables and widths of the release's
full ranker, the best items.
No other source, no feature computed from history, no re-ranking, nothing logged.
Answers RecommendService.Recommend; prints {"port": ..., "num_parameters": ...} once it
serves, and ends with SIGTERM.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import hnswlib
import lmdb
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stepwell.feedback.user_state_file import UserStateFile
from stepwell.models.ranker_config import ModelConfig, RankerConfig
from stepwell.models.two_tower_user import UserTower
from stepwell.pipeline.planner import FULL_SHAPE
from stepwell.retrieval.artifacts import USER_TOWER_FILE
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary
from stepwell_pb.v1 import recommend_pb2, recommend_pb2_grpc

NUM_CANDIDATES = FULL_SHAPE.num_candidates
NUM_THREADS = 2
M, EF_CONSTRUCTION = 16, 200
_SEED = 20_171_126
_VOCABULARY_FILE = "vocabulary.safetensors"
_DRAIN_SECONDS = 1.0

Floats = npt.NDArray[np.float32]


class EagerDlrm(nn.Module):
    """DLRM of torch's own modules, with as many parameters as our full ranker."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, hidden = config.embedding_dim, config.bottom_widths[-1]
        num_vectors = len(config.sparse) + 1
        self.bottom = _mlp((len(config.dense), *config.bottom_widths))
        self.projection = nn.Linear(hidden, dim)
        self.tables = nn.ModuleList(
            nn.EmbeddingBag(column.num_rows, dim, mode="sum")
            for column in config.sparse
        )
        num_pairs = num_vectors * (num_vectors - 1) // 2
        widths = (hidden + dim + num_pairs, *config.top_widths)
        self.top = _mlp(widths)
        self.output = nn.Linear(widths[-1], len(config.objectives))
        self.register_buffer("pairs", torch.tril_indices(num_vectors, num_vectors, -1))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Returns float32 [N, O] from dense float32 [N, F] and sparse int64 [N, T]."""
        hidden = self.bottom(dense)
        vector = self.projection(hidden)
        columns = sparse.unbind(1)
        bags = [
            table(rows[:, None])
            for table, rows in zip(self.tables, columns, strict=True)
        ]
        stacked = torch.stack([vector, *bags], dim=1)
        row, column = self.get_buffer("pairs")
        crossed = torch.bmm(stacked, stacked.mT)[:, row, column]
        top = self.top(torch.cat([hidden, vector, crossed], dim=1))
        logits: Tensor = self.output(top)
        return logits


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size, width in pairwise(widths):
        layers += [nn.Linear(size, width), nn.ReLU()]
    return nn.Sequential(*layers)


class GluedStack:
    """Blob, neighbours, columns, model, best items.

    Args:
        release: folder of a release; its vocabulary, item vectors and the shape of its
            full ranker are used.
        user_state: the users' histories as training wrote them.
        scratch: an empty folder for the blobs.

    Concurrency: thread-safe.
    """

    def __init__(self, release: Path, user_state: Path, scratch: Path) -> None:
        random = np.random.default_rng(_SEED)
        vocabulary = Vocabulary.load(release / _VOCABULARY_FILE)
        config = RankerConfig.load(release).full
        num_items, num_dense = len(vocabulary), len(config.dense)
        vectors = _item_vectors(release)
        self._ids = vocabulary.ids_of_rows(np.arange(num_items))
        self._index = _built_index(vectors)
        # Speed does not depend on the values of columns and weights; shapes are ours.
        self._item_dense = random.normal(size=(num_items, num_dense)).astype(np.float32)
        self._item_sparse = np.stack(
            [random.integers(0, c.num_rows, num_items) for c in config.sparse], axis=1
        )
        self._weights = torch.tensor([goal.weight for goal in config.objectives])
        self._model = EagerDlrm(config).eval()
        self._dim = vectors.shape[1]
        self._users = lmdb.open(str(scratch), map_size=1 << 30, sync=False)
        self._store(UserStateFile.load(user_state), vocabulary, vectors, num_dense)

    @property
    def num_parameters(self) -> int:
        """Of the model."""
        return sum(weight.numel() for weight in self._model.parameters())

    def answer(
        self, request: recommend_pb2.RecommendRequest
    ) -> recommend_pb2.RecommendResponse:
        """Returns the best `num_items`; KeyError for an unknown user."""
        with self._users.begin() as transaction:
            packed = transaction.get(request.user_id.encode())
        if packed is None:
            raise KeyError(request.user_id)
        blob = np.frombuffer(packed, np.float32)
        vector, user_dense = blob[: self._dim], blob[self._dim :]
        labels, _ = self._index.knn_query(vector, NUM_CANDIDATES, num_threads=1)
        rows = labels[0].astype(np.int64)
        dense = torch.from_numpy(self._item_dense[rows] + user_dense)
        sparse = torch.from_numpy(self._item_sparse[rows])
        with torch.inference_mode():
            scores = self._model(dense, sparse).sigmoid() @ self._weights
            best = scores.topk(request.num_items)
        items = [
            recommend_pb2.RecommendedItem(item_id=self._ids[rows[place]], score=score)
            for place, score in zip(
                best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]
        return recommend_pb2.RecommendResponse(
            request_id=request.request_id, items=items
        )

    def _store(
        self,
        state: UserStateFile,
        vocabulary: Vocabulary,
        vectors: Floats,
        num_dense: int,
    ) -> None:
        """Writes a blob a user: the mean vector of what the user had, dense columns."""
        dense = np.zeros(num_dense, np.float32)
        for users in state.batches(500):
            with self._users.begin(write=True) as transaction:
                for user_id, packed in users.items():
                    rows = vocabulary.rows_of_keys(UserHistory.unpack(packed).keys)
                    known = vectors[rows[rows >= 0]]
                    vector = known.mean(axis=0) if len(known) else vectors[0]
                    blob = np.concatenate([vector, dense])
                    transaction.put(user_id.encode(), blob.tobytes())


def _item_vectors(release: Path) -> Floats:
    """Returns float32 [N, D]: the item side of the release's own tower."""
    tower = UserTower.load(release / USER_TOWER_FILE)
    return np.concatenate([tower.fixed_vectors, tower.trained_vectors], axis=1)


def _built_index(vectors: Floats) -> Any:
    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), M=M, ef_construction=EF_CONSTRUCTION)
    index.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    index.set_ef(NUM_CANDIDATES)
    return index


class _Servicer(recommend_pb2_grpc.RecommendServiceServicer):
    def __init__(self, stack: GluedStack) -> None:
        self._stack = stack
        self._threads = ThreadPoolExecutor(NUM_THREADS)

    async def Recommend(
        self,
        request: recommend_pb2.RecommendRequest,
        context: Any,  # noqa: ARG002
    ) -> recommend_pb2.RecommendResponse:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._stack.answer, request)


async def _serve(stack: GluedStack) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    recommend_pb2_grpc.add_RecommendServiceServicer_to_server(_Servicer(stack), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready = {"port": port, "num_parameters": stack.num_parameters}
    print(json.dumps(ready), flush=True)
    await stop.wait()
    await server.stop(_DRAIN_SECONDS)


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("release", "user_state", "scratch"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    asyncio.run(_serve(GluedStack(args.release, args.user_state, args.scratch)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
