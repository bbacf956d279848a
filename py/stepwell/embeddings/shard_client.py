"""Rows from the shards that own them: fan-out, one retry, failover, stated coverage."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import structlog

from stepwell.base.deadline import Deadline
from stepwell.base.errors import DataLossError, UnavailableError
from stepwell.base.metric_names import EMBEDDING_FAILURES, EMBEDDING_RETRIES
from stepwell.base.metrics import Metrics
from stepwell.base.retry_budget import RetryBudget
from stepwell.embeddings.row_cache import RowCache
from stepwell.embeddings.shard_map import KeyArray, ShardMap
from stepwell.embeddings.shard_response import ShardRows, checked_rows
from stepwell_pb.v1 import embedding_pb2, embedding_pb2_grpc

_log = structlog.get_logger(__name__)
RowArray = npt.NDArray[np.float32]

MAX_KEYS_PER_CALL = 1_000
MAX_RESPONSE_BYTES = 32 << 20
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    # A shard that came back is found again within a second, not two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


@dataclass(frozen=True, slots=True)
class ShardTable:
    """The table to read.

    Attributes:
        dim: floats in a row; an answer of another width is refused.
        release_serial: rows of another release are refused: never two in one answer.
    """

    name: str
    dim: int
    release_serial: int


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How long to wait and how often to try.

    Attributes:
        hop_us: microseconds that one attempt may take.
        backoff_us: pause before the second attempt, up to twice that by jitter.
        budget: bounds the extra load; shared by all clients of the same shards.
        sleep: waits, in seconds.
        draw: a number in [0, 1) for the jitter.
    """

    hop_us: int = 20_000
    backoff_us: int = 2_000
    budget: RetryBudget = field(default_factory=RetryBudget)
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of N keys.

    Attributes:
        rows: float32 [N, dim]; zeros where there is none.
        found: bool [N].
        coverage: share of the keys of which a shard or the cache could say whether they
            have a row; 1.0 for no keys.
    """

    rows: RowArray
    found: npt.NDArray[np.bool_]
    coverage: float


@dataclass(frozen=True, slots=True)
class _Part:
    """The keys of one call to one shard, and where they stand in the lookup."""

    shard: int
    positions: npt.NDArray[np.int64]
    keys: KeyArray


class ShardClient:
    """Reads one table of one release from its shards.

    A read that is answered UNAVAILABLE is tried once more, at the next replica where
    there is one, as long as the retry budget lasts. A replica that failed is not asked
    first again until the one that stands in for it fails.

    Args:
        cache: rows kept in this process; None keeps none.

    Concurrency: thread-safe. Cost: one round trip to all shards at once, about 0.5 ms
    on loopback.
    """

    def __init__(
        self,
        shard_map: ShardMap,
        table: ShardTable,
        metrics: Metrics,
        retry: RetryOptions | None = None,
        cache: RowCache | None = None,
    ) -> None:
        self._map = shard_map
        self._table = table
        self._metrics = metrics
        self._retry = retry or RetryOptions()
        self._cache = cache
        addresses = {a for shard in shard_map.shards for a in shard.replicas}
        self._channels = {
            address: grpc.insecure_channel(address, _CHANNEL_OPTIONS)
            for address in sorted(addresses)
        }
        self._stubs = {
            address: embedding_pb2_grpc.EmbeddingServiceStub(channel)
            for address, channel in self._channels.items()
        }
        # Spread over the replicas by shard number; moves on when one fails.
        self._preferred = [
            number % len(shard.replicas)
            for number, shard in enumerate(shard_map.shards)
        ]

    def wait_until_connected(self, timeout_s: float) -> None:
        """Connects to every replica, so that the first lookup need not.

        Raises:
            UnavailableError: names the first address that did not answer.
        """
        for address, channel in self._channels.items():
            try:
                grpc.channel_ready_future(channel).result(timeout=timeout_s)
            except grpc.FutureTimeoutError as error:
                raise UnavailableError(f"no embedding shard at {address}") from error

    def lookup(self, keys: KeyArray, deadline: Deadline) -> Lookup:
        """Returns the rows of uint64 [N] keys, each asked for once.

        A shard that fails or is late leaves its keys without rows and lowers the
        coverage; this never raises for it.
        """
        unique, inverse = np.unique(keys, return_inverse=True)
        rows = np.zeros((len(unique), self._table.dim), np.float32)
        found = np.zeros(len(unique), np.bool_)
        if self._cache is not None:
            found |= self._cache.get(unique, rows)
        answered = found.copy()
        for part, shard_rows in self._fan_out(unique, ~found, deadline):
            answered[part.positions] = True
            found[part.positions] = shard_rows.found
            rows[part.positions[shard_rows.found]] = shard_rows.rows
            if self._cache is not None:
                self._cache.put(part.keys[shard_rows.found], shard_rows.rows)
        coverage = float(answered[inverse].mean()) if len(keys) else 1.0
        return Lookup(rows[inverse], found[inverse], coverage)

    def close(self) -> None:
        """Closes every channel; calls in flight fail."""
        for channel in self._channels.values():
            channel.close()

    def _fan_out(
        self, keys: KeyArray, wanted: npt.NDArray[np.bool_], deadline: Deadline
    ) -> Iterable[tuple[_Part, ShardRows]]:
        parts = list(self._parts(keys, np.flatnonzero(wanted)))
        for _ in parts:
            self._retry.budget.on_first_attempt()
        to_retry: list[_Part] = []
        yield from self._attempt(parts, deadline, to_retry)
        again = [part for part in to_retry if self._retry.budget.try_spend()]
        pause_us = int(self._retry.backoff_us * (1 + self._retry.draw()))
        if not again or deadline.remaining_us() <= pause_us:
            return
        self._metrics.add(EMBEDDING_RETRIES, amount=len(again))
        self._retry.sleep(pause_us / 1e6)
        yield from self._attempt(again, deadline, [])

    def _parts(
        self, keys: KeyArray, positions: npt.NDArray[np.int64]
    ) -> Iterable[_Part]:
        owners = self._map.shards_of(keys[positions])
        for shard in np.unique(owners):
            own = positions[owners == shard]
            for start in range(0, len(own), MAX_KEYS_PER_CALL):
                some = own[start : start + MAX_KEYS_PER_CALL]
                yield _Part(int(shard), some, keys[some])

    def _attempt(
        self, parts: Sequence[_Part], deadline: Deadline, to_retry: list[_Part]
    ) -> Iterable[tuple[_Part, ShardRows]]:
        """Yields what came back; collects in `to_retry` what was UNAVAILABLE."""
        timeout_us = min(self._retry.hop_us, deadline.remaining_us())
        if timeout_us <= 0:
            self._metrics.add(EMBEDDING_FAILURES, "deadline", amount=len(parts))
            return
        calls = [(part, *self._call(part, timeout_us)) for part in parts]
        for part, replica, call in calls:
            try:
                response = call.result()
                yield (
                    part,
                    checked_rows(
                        response,
                        part.keys,
                        self._table.dim,
                        self._table.release_serial,
                    ),
                )
            except grpc.RpcError:
                self._on_failure(part, replica, call.code().name.lower())
                if call.code() is grpc.StatusCode.UNAVAILABLE:
                    to_retry.append(part)
            except DataLossError as error:
                self._on_failure(part, replica, "corrupt")
                _log.warning("shard refused", shard=part.shard, error=str(error))

    def _call(self, part: _Part, timeout_us: int) -> tuple[int, Any]:
        replica = self._preferred[part.shard]
        address = self._map.shards[part.shard].replicas[replica]
        request = embedding_pb2.LookupRequest(
            table=self._table.name, keys=part.keys.tolist()
        )
        lookup = self._stubs[address].Lookup
        return replica, lookup.future(request, timeout=timeout_us / 1e6)

    def _on_failure(self, part: _Part, replica: int, cause: str) -> None:
        self._metrics.add(EMBEDDING_FAILURES, cause)
        # Only the one that was asked moves the choice on, not its late companions.
        if self._preferred[part.shard] == replica:
            replicas = self._map.shards[part.shard].replicas
            self._preferred[part.shard] = (replica + 1) % len(replicas)
