"""The servers of an index's shards: channels, breakers, who is asked first."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import grpc

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import InvalidArgumentError
from stepwell.base.latency_histogram import WindowedHistogram
from stepwell.base.retry_budget import RetryBudget
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.embeddings.shard_map import MAX_REPLICAS, MAX_SHARDS, Shard
from stepwell_pb.v1 import retrieval_pb2_grpc

MAX_RESPONSE_BYTES = 32 << 20
_LATENCY_WINDOW_US = 10_000_000
_MIN_LATENCIES = 20
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    # A shard that came back is found again within a second, not two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How long to wait, how often to try, when to leave a server alone.

    Attributes:
        hop_us: microseconds that a search of one shard may take, all attempts together.
        backoff_us: pause before a second attempt at the same server, up to twice that
            by jitter; another replica is asked at once.
        hedge_permille: the quantile of the latest latencies after which a second
            replica is asked; 1000 never asks.
        retries, hedges: bounds of the extra load: 10 % and 5 % of the calls.
        breaker: when a server that fails is left alone.
        draw: a number in [0, 1) for the jitter.
    """

    hop_us: int = 50_000
    backoff_us: int = 2_000
    hedge_permille: int = 950
    retries: RetryBudget = field(default_factory=lambda: RetryBudget(100))
    hedges: RetryBudget = field(default_factory=lambda: RetryBudget(50))
    breaker: BreakerOptions = field(
        # Slowness is what the hop and the hedge are for: only failures open it.
        default_factory=lambda: BreakerOptions(slow_call_us=1 << 40, min_calls=5)
    )
    draw: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Replica:
    """One server of one shard."""

    address: str
    stub: retrieval_pb2_grpc.RetrievalServiceStub
    breaker: CircuitBreaker


def parse_shards(text: str) -> tuple[Shard, ...]:
    """Reads "host:port|host:port,host:port": shards by comma, their replicas by bar.

    Raises:
        InvalidArgumentError: names the shard that is wrong.
    """
    shards = []
    for number, word in enumerate(text.split(",")):
        replicas = tuple(address.strip() for address in word.split("|"))
        good = all(_is_address(address) for address in replicas)
        if not good or len(replicas) > MAX_REPLICAS:
            raise InvalidArgumentError(
                f"shard {number} is {word!r}, must be 1 to {MAX_REPLICAS} of host:port "
                "with | between them",
                "retrieval_shards",
            )
        shards.append(Shard(replicas))
    addresses = [address for shard in shards for address in shard.replicas]
    if len(set(addresses)) != len(addresses) or len(shards) > MAX_SHARDS:
        raise InvalidArgumentError(
            f"{len(addresses)} addresses of {len(shards)} shards must be different, of "
            f"at most {MAX_SHARDS} shards",
            "retrieval_shards",
        )
    return tuple(shards)


class ShardPool:
    """Holds what outlives a search: one channel and one breaker a server.

    The replica that is asked first is spread by shard number, and moves on when it
    fails or a faster one overtakes it.

    Args:
        shards: by number, with the addresses that serve each.
        options: waits, budgets, breakers.
        clock: monotonic time.

    Concurrency: thread-safe.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        options: PoolOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.options = options or PoolOptions()
        self.clock = clock or SystemClock()
        self._channels: list[grpc.Channel] = []
        self._replicas = [
            tuple(self._replica(address) for address in shard.replicas)
            for shard in shards
        ]
        self._first = [n % len(shard.replicas) for n, shard in enumerate(shards)]
        self._latencies = WindowedHistogram(_LATENCY_WINDOW_US)
        self._lock = threading.Lock()

    @property
    def num_shards(self) -> int:
        """Shards of the index."""
        return len(self._replicas)

    def replicas(self, shard: int) -> tuple[Replica, ...]:
        """Returns a shard's servers in the order in which to ask them."""
        first, all_of_it = self._first[shard], self._replicas[shard]
        return all_of_it[first:] + all_of_it[:first]

    def failed(self, shard: int, replica: Replica) -> None:
        """Another replica is asked first from here on, when this one was."""
        with self._lock:
            place = self._replicas[shard].index(replica)
            if self._first[shard] == place:
                self._first[shard] = (place + 1) % len(self._replicas[shard])

    def overtaken_by(self, shard: int, replica: Replica) -> None:
        """This replica is asked first from here on."""
        with self._lock:
            self._first[shard] = self._replicas[shard].index(replica)

    def record(self, latency_us: int, now_us: int) -> None:
        """Notes how long a shard took to answer."""
        with self._lock:
            self._latencies.record(latency_us, now_us)

    def hedge_after_us(self, now_us: int) -> int | None:
        """Returns when to ask a second replica; None while that is not known."""
        if self.options.hedge_permille >= 1_000:
            return None
        with self._lock:
            latest = self._latencies.at(now_us)
            if len(latest) < _MIN_LATENCIES:
                return None
            return latest.quantile_us(self.options.hedge_permille)

    def close(self) -> None:
        """Closes every channel; calls in flight fail."""
        for channel in self._channels:
            channel.close()

    def _replica(self, address: str) -> Replica:
        channel = grpc.insecure_channel(address, _CHANNEL_OPTIONS)
        self._channels.append(channel)
        stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        return Replica(address, stub, CircuitBreaker(self.options.breaker))


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and int(port) < 65_536
