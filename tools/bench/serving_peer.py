"""The peer of benchmark `serving`: the stack a team would glue together.

    python -m bench.serving_peer --release=DIR --index=FILE --items=FILE --redis=URL

grpc.aio with worker threads; a request reads one blob from Redis (the user's vector,
dense columns and segment), finds hnswlib's nearest items, gathers their columns, runs
an eager torch DLRM with the columns, tables, widths and weights of the release's full
ranker, and answers with the best items. No other source, no feature computed from a
history, no re-ranking, nothing logged.

Answers RecommendService.Recommend; prints {"port": ..., "num_parameters": ...} once it
serves, and ends with SIGTERM. A caller that has gone is not worked for: its call is
cancelled while it waits for a thread. With --max_in_flight more calls than that at a
time are refused; with --share_port several processes serve one port.
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
from typing import Any, Self

import grpc
import hnswlib
import numpy as np
import redis
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from bench.serving_peer_files import VOCABULARY_FILE, PeerFiles, PeerUser
from bench.serving_spec import USER_DENSE
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import ModelConfig, RankerConfig
from stepwell.models.ranker_file import FULL_RANKER_NAME, load_weights
from stepwell.schema.vocabulary import Vocabulary
from stepwell_pb.v1 import recommend_pb2, recommend_pb2_grpc

NUM_CANDIDATES = 500
NUM_THREADS = 2
_DRAIN_SECONDS = 1.0

Request = recommend_pb2.RecommendRequest
Response = recommend_pb2.RecommendResponse


class EagerDlrm(nn.Module):
    """DLRM of torch's own modules, with as many parameters as our full ranker.

    Takes dense columns that are standardised already.
    """

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

    @classmethod
    def of(cls, trained: Dlrm) -> Self:
        """Returns it with the weights of our ranker, in evaluation mode."""
        eager = cls(trained.config)
        with torch.no_grad():
            weights = zip(eager.parameters(), trained.parameters(), strict=True)
            for weight, source in weights:
                weight.copy_(source)
        return eager.eval()

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
        release: folder of a release; its vocabulary and full ranker are used.
        files: made from that release.
        users: holds a packed PeerUser a user.

    Concurrency: thread-safe.
    """

    def __init__(self, release: Path, files: PeerFiles, users: redis.Redis) -> None:
        vocabulary = Vocabulary.load(release / VOCABULARY_FILE)
        config = RankerConfig.load(release).full
        items = load_file(files.items)
        self._item_dense, self._item_sparse = items["dense"], items["sparse"]
        self._ids = vocabulary.ids_of_rows(np.arange(len(vocabulary)))
        self._index = hnswlib.Index("ip", config.embedding_dim)
        self._index.load_index(str(files.index))
        self._index.set_ef(NUM_CANDIDATES)
        self._weights = torch.tensor([goal.weight for goal in config.objectives])
        trained = Dlrm(config)
        load_weights(trained, release / FULL_RANKER_NAME)
        self._model = EagerDlrm.of(trained)
        self._users = users

    @property
    def num_parameters(self) -> int:
        """Of the model."""
        return sum(weight.numel() for weight in self._model.parameters())

    def answer(self, request: Request) -> Response:
        """Returns the best `num_items`; KeyError for an unknown user."""
        packed = self._users.get(request.user_id)
        if not isinstance(packed, bytes):
            raise KeyError(request.user_id)
        user = PeerUser.unpack(packed)
        labels, _ = self._index.knn_query(user.vector, NUM_CANDIDATES, num_threads=1)
        rows = labels[0].astype(np.int64)
        dense, sparse = self._item_dense[rows], self._item_sparse[rows]
        dense[:, : len(USER_DENSE)] = user.dense
        sparse[:, -1] = user.segment_row
        with torch.inference_mode():
            logits = self._model(torch.from_numpy(dense), torch.from_numpy(sparse))
            best = (logits.sigmoid() @ self._weights).topk(request.num_items)
        items = [
            recommend_pb2.RecommendedItem(item_id=self._ids[rows[place]], score=score)
            for place, score in zip(
                best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]
        return Response(request_id=request.request_id, items=items)


class _Servicer(recommend_pb2_grpc.RecommendServiceServicer):
    """Runs the stack on threads; refuses above a limit where there is one."""

    def __init__(self, stack: GluedStack, max_in_flight: int | None) -> None:
        self._stack = stack
        self._threads = ThreadPoolExecutor(NUM_THREADS)
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    async def Recommend(self, request: Request, context: Any) -> Response:
        if self._max_in_flight is not None and self._in_flight >= self._max_in_flight:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
        self._in_flight += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._stack.answer, request
            )
        except KeyError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
            raise
        finally:
            self._in_flight -= 1


async def _serve(stack: GluedStack, args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=[("grpc.so_reuseport", int(args.share_port))])
    servicer = _Servicer(stack, args.max_in_flight)
    recommend_pb2_grpc.add_RecommendServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{args.port}")
    await server.start()
    ready = {"port": port, "num_parameters": stack.num_parameters}
    print(json.dumps(ready), flush=True)
    await stop.wait()
    await server.stop(_DRAIN_SECONDS)


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("release", "index", "items"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--share_port", action="store_true")
    parser.add_argument("--max_in_flight", type=int)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    users = redis.Redis.from_url(args.redis)
    stack = GluedStack(args.release, PeerFiles(args.index, args.items), users)
    asyncio.run(_serve(stack, args))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
