"""EmbeddingService: the rows of the slots that one shard owns."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.embeddings.embedding_table import EmbeddingTable
from stepwell.embeddings.shard_map import ShardMap
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import embedding_pb2, embedding_pb2_grpc

MAX_ROWS_BYTES = 30 << 20
"""Largest answer; a client takes 32 MiB."""

_Context = grpc.aio.ServicerContext[Any, Any]


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Looks rows up in tables that are mapped from files.

    Args:
        tables: by name.
        shard_map: says which keys are this shard's.
        shard: this shard's number.
        release_serial: the release the tables come from.

    Concurrency: one event loop; a lookup of 1,000 keys holds it about 0.2 ms.
    """

    def __init__(
        self,
        tables: Mapping[str, EmbeddingTable],
        shard_map: ShardMap,
        shard: int,
        release_serial: int,
    ) -> None:
        self._tables = dict(tables)
        self._map = shard_map
        self._shard = shard
        self._slots = shard_map.slots_owned_by(shard).tolist()
        self._release_serial = release_serial

    async def Lookup(
        self, request: embedding_pb2.LookupRequest, context: _Context
    ) -> embedding_pb2.LookupResponse:
        """Returns the rows there are; the other keys are named as missing."""
        check_message(request)
        table = self._tables.get(request.table)
        if table is None:
            raise NotFoundError(
                f"table is {request.table!r}, must be one of {sorted(self._tables)}"
            )
        size = len(request.keys) * table.dim * 4
        if size > MAX_ROWS_BYTES:
            raise InvalidArgumentError(
                f"keys are {len(request.keys)}, must be in "
                f"[1, {MAX_ROWS_BYTES // (table.dim * 4)}] for rows of {table.dim}",
                "keys",
            )
        keys = np.fromiter(request.keys, np.uint64, len(request.keys))
        found, rows = table.find(keys)
        owned = self._map.shards_of(keys) == self._shard
        rows, found = rows[owned[found]], found & owned
        return embedding_pb2.LookupResponse(
            keys=keys[found].tolist(),
            rows=np.ascontiguousarray(rows, "<f4").tobytes(),
            dim=table.dim,
            missing_keys=keys[~found].tolist(),
            release_serial=self._release_serial,
        )

    async def DescribeShard(
        self, request: embedding_pb2.DescribeShardRequest, context: _Context
    ) -> embedding_pb2.DescribeShardResponse:
        """Returns what this shard owns."""
        return embedding_pb2.DescribeShardResponse(
            shard=self._shard,
            slots=self._slots,
            tables=sorted(self._tables),
            release_serial=self._release_serial,
        )
