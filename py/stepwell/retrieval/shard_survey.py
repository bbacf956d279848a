"""Asks the servers of an index what they are, before one of them is believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import grpc
import structlog

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    UnavailableError,
)
from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Partition
from stepwell.index.options import Metric
from stepwell.index.search_result import IndexStats
from stepwell.retrieval.shard_answer import check_seat
from stepwell.retrieval.shard_pool import Replica, ShardPool
from stepwell_pb.v1 import retrieval_pb2

_log = structlog.get_logger(__name__)

_Stats = retrieval_pb2.StatsResponse


@dataclass(frozen=True, slots=True)
class Survey:
    """What the servers of an index are.

    Attributes:
        shards: the cut that all of them serve.
        space_hash: 32 bytes.
        num_items: by shard; one that did not answer is taken for a mean one.
        stats: of the shards that answered, added up.
    """

    shards: LabelShards
    space_hash: bytes
    num_items: tuple[int, ...]
    stats: IndexStats


def survey(pool: ShardPool, space_hash: bytes, timeout_s: float) -> Survey:
    """Returns what the servers of a pool say they are.

    A server that does not answer is passed over, with a line in the log, and so is one
    of another embedding space whose shard has a server of the right one: that is how a
    new space is brought up beside the old.

    Raises:
        FailedPreconditionError: a shard's servers are all of another space, a server is
            another shard than it was taken for, or two differ in cut, dim or metric.
        UnavailableError: no server answered.
    """
    asked = [
        (shard, replica, replica.stub.Stats.future(_request(), timeout=timeout_s))
        for shard in range(pool.num_shards)
        for replica in pool.replicas(shard)
    ]
    said: dict[int, list[tuple[Replica, _Stats]]] = {}
    for shard, replica, call in asked:
        try:
            said.setdefault(shard, []).append((replica, call.result()))
        except grpc.RpcError:
            why = call.code().name
            _log.warning("no answer", shard=shard, address=replica.address, code=why)
    if not any(said.values()):
        addresses = ", ".join(replica.address for _, replica, _ in asked)
        raise UnavailableError(f"no retrieval shard answers at {addresses}")
    fitting = {
        shard: _fitting(shard, answers, space_hash, pool.num_shards)
        for shard, answers in said.items()
        if answers
    }
    return _joined(fitting, space_hash, pool.num_shards)


def _request() -> retrieval_pb2.StatsRequest:
    return retrieval_pb2.StatsRequest()


def _fitting(
    shard: int,
    answers: Sequence[tuple[Replica, _Stats]],
    space_hash: bytes,
    num_shards: int,
) -> tuple[Replica, _Stats]:
    """The first server of the right space; each has to be the shard it is taken for."""
    for replica, stats in answers:
        try:
            check_seat(stats.shard, stats.num_shards, shard, num_shards)
        except DataLossError as error:
            raise FailedPreconditionError(f"{replica.address}: {error}") from None
    for replica, stats in answers:
        if stats.embedding_space_hash == space_hash:
            return replica, stats
        _log.warning("another embedding space", shard=shard, address=replica.address)
    replica, stats = answers[0]
    raise FailedPreconditionError(
        f"{replica.address} serves embedding space "
        f"{stats.embedding_space_hash.hex()[:16]}, must be {space_hash.hex()[:16]}"
    )


def _joined(
    fitting: dict[int, tuple[Replica, _Stats]], space_hash: bytes, num_shards: int
) -> Survey:
    (first_replica, first), *others = fitting.values()
    for replica, stats in others:
        if _kind(stats) != _kind(first):
            raise FailedPreconditionError(
                f"{replica.address} serves {_kind(stats)}, "
                f"{first_replica.address} {_kind(first)}"
            )
    all_of_it = [stats for _, stats in fitting.values()]
    mean = sum(stats.num_items for stats in all_of_it) // len(all_of_it)
    known = {shard: stats.num_items for shard, (_, stats) in fitting.items()}
    partition = Partition(first.partition) if first.partition else Partition.HASH
    return Survey(
        shards=LabelShards(num_shards, partition, first.num_labels),
        space_hash=space_hash,
        num_items=tuple(known.get(shard, mean) for shard in range(num_shards)),
        stats=_added(all_of_it),
    )


def _kind(stats: _Stats) -> tuple[int, str, str, int]:
    return stats.dim, stats.metric, stats.partition, stats.num_labels


def _added(all_of_it: Sequence[_Stats]) -> IndexStats:
    first = all_of_it[0]
    return IndexStats(
        num_items=sum(stats.num_items for stats in all_of_it),
        num_deleted=sum(stats.num_deleted for stats in all_of_it),
        dim=first.dim,
        metric=cast(Metric, first.metric),
        m=first.m,
        ef_construction=first.ef_construction,
        memory_bytes=sum(stats.memory_bytes for stats in all_of_it),
        space_hash=first.embedding_space_hash,
    )
