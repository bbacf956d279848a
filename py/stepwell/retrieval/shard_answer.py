"""A search on the wire: what a shard is asked, and whether its answer is one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError, InvalidArgumentError, check_range
from stepwell.embeddings.label_shards import LabelShards
from stepwell.index.item_filter import IdSet
from stepwell_pb.v1 import retrieval_pb2

MAX_QUERIES = 64
MAX_K = 2_000
MAX_EXCLUDED = 1_000
MAX_ALLOWED_BYTES = 2_097_152

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """One shard's best: for each query its labels int64 and scores float32.

    Attributes:
        truncated: bool [B], the shard's time was over before its search was.
        num_items: that the shard holds.
    """

    labels: tuple[Ids, ...]
    scores: tuple[npt.NDArray[np.float32], ...]
    truncated: npt.NDArray[np.bool_]
    num_items: int
    num_visited: int
    num_distances: int
    num_exact: int
    strategy: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must fit: the release's space, the cut, and the search."""

    space_hash: bytes
    shards: LabelShards
    num_queries: int
    k: int


def search_request(
    queries: Vectors,
    k: int,
    ef_search: int,
    exclude_ids: Ids,
    allowed: npt.NDArray[np.bool_] | IdSet | None,
) -> retrieval_pb2.SearchRequest:
    """Returns the request for queries float32 [B, D].

    Raises:
        InvalidArgumentError: more than fits into one call; names field and range.
    """
    if queries.ndim != 2:
        text = f"queries has shape {queries.shape}, must be [B, D]"
        raise InvalidArgumentError(text, "queries")
    check_range("queries", len(queries), 1, MAX_QUERIES)
    check_range("k", k, 1, MAX_K)
    check_range("exclude_ids", len(exclude_ids), 0, MAX_EXCLUDED)
    request = retrieval_pb2.SearchRequest(
        queries=[retrieval_pb2.Vector(values=row) for row in queries.tolist()],
        k=k,
        ef_search=ef_search,
        exclude_labels=exclude_ids.tolist(),
    )
    if allowed is not None:
        bitmap = np.packbits(_flags(allowed), bitorder="little").tobytes()
        check_range("allowed", len(bitmap), 0, MAX_ALLOWED_BYTES)
        request.allowed_labels = bitmap
    return request


def checked_answer(
    response: retrieval_pb2.SearchResponse, shard: int, expected: Expected
) -> ShardAnswer:
    """Returns the answer of one shard. Cost: about 20 us for one query of 500 labels.

    Raises:
        DataLossError: another space, shard or number of queries, a label that is not
            the shard's or is there twice, too many, or a score out of order.
    """
    if response.embedding_space_hash != expected.space_hash:
        raise DataLossError(
            f"shard {shard} answers in embedding space "
            f"{response.embedding_space_hash.hex()[:16]}, must be "
            f"{expected.space_hash.hex()[:16]}"
        )
    check_seat(response.shard, response.num_shards, shard, expected.shards.num_shards)
    if len(response.results) != expected.num_queries:
        text = f"{len(response.results)} results for {expected.num_queries} queries"
        raise DataLossError(text)
    pairs = [_checked(one, shard, expected) for one in response.results]
    return ShardAnswer(
        labels=tuple(labels for labels, _ in pairs),
        scores=tuple(scores for _, scores in pairs),
        truncated=np.array([one.truncated for one in response.results], np.bool_),
        num_items=max(response.num_items, 0),
        num_visited=response.num_visited,
        num_distances=response.num_distances,
        num_exact=response.num_exact,
        strategy=response.strategy,
    )


def check_seat(said: int, said_of: int, shard: int, num_shards: int) -> None:
    """Does nothing when a server says that it is the shard it was taken for.

    A server that holds a whole index says 0 of 0, and is shard 0 of 1.

    Raises:
        DataLossError: it is another one; names both.
    """
    if (said, max(said_of, 1)) != (shard, num_shards):
        raise DataLossError(
            f"the server is shard {said} of {said_of}, must be {shard} of {num_shards}"
        )


def _flags(allowed: npt.NDArray[np.bool_] | IdSet) -> npt.NDArray[np.bool_]:
    if isinstance(allowed, np.ndarray):
        return allowed
    flags = np.zeros(allowed.num_ids, np.bool_)
    flags[allowed.to_numpy()] = True
    return flags


def _checked(
    one: retrieval_pb2.Neighbours, shard: int, expected: Expected
) -> tuple[Ids, npt.NDArray[np.float32]]:
    labels = np.array(one.labels, np.int64)
    scores = np.array(one.scores, np.float32)
    if len(labels) != len(scores) or len(labels) > expected.k:
        text = f"{len(labels)} labels and {len(scores)} scores, at most {expected.k}"
        raise DataLossError(text)
    # NaN compares false: it is never in order.
    if not (np.isfinite(scores).all() and (scores[:-1] >= scores[1:]).all()):
        raise DataLossError("scores are not finite and descending")
    if labels.size and labels.min() < 0:
        raise DataLossError(f"label {labels.min()} is negative")
    if len(np.unique(labels)) != len(labels):
        raise DataLossError("a label is there twice")
    owners = expected.shards.of_labels(labels)
    if (owners != shard).any():
        foreign = labels[owners != shard][0]
        raise DataLossError(f"shard {shard} returns label {foreign} of another shard")
    return labels, scores
