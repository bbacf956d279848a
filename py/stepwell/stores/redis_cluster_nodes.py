"""Which node of a Redis Cluster has a key: learnt off the request path, used on it."""

import threading
import time
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.stores.redaction import without_secrets
from stepwell.stores.redis_connection import (
    Client,
    ClusterClient,
    LostConnectionError,
    NoNodeError,
    ReplyError,
    connect,
    connect_cluster,
    redis_errors,
)
from stepwell.stores.redis_hops import RedisHops

SCHEME = "redis-cluster://"
_LEARN_PAUSE_S = 1.0


class ClusterUrl(NamedTuple):
    """redis-cluster://[user:password@]host:port[,host:port...], taken apart."""

    login: str
    addresses: list[tuple[str, int]]

    @property
    def username(self) -> str | None:
        """Without the URL's escapes; None when there is none."""
        return unquote(self.login.partition(":")[0]) or None

    @property
    def password(self) -> str | None:
        """Without the URL's escapes; None when there is none."""
        return unquote(self.login.partition(":")[2]) or None

    @classmethod
    def parsed(cls, url: str) -> "ClusterUrl":
        """Takes a URL apart.

        Raises:
            InvalidArgumentError: it is none; nothing of its password is said.
        """
        login, _, nodes = url.removeprefix(SCHEME).rpartition("@")
        try:
            addresses = [_address(node) for node in nodes.split(",")]
        except ValueError:
            addresses = []
        if not addresses or not url.startswith(SCHEME):
            raise InvalidArgumentError(
                f"url is {without_secrets(url)!r}, must be "
                f"{SCHEME}[user:password@]host:port[,host:port...]",
                "url",
            )
        return cls(login, addresses)


class RedisClusterNodes:
    """A client of the whole cluster, and hops to its nodes for reads in a request.

    The client learns who has what when it connects and when a command of its own goes
    astray. A hop that goes astray follows one redirection and has it learnt again by
    a thread, once a second at most: a request waits for no such thing.

    Args:
        url: as ClusterUrl has it; some nodes are enough.
        timeout_ms: limit of a wait of a hop.
        bulk_timeout_ms: limit of a wait of the client.

    Concurrency: thread-safe. A cluster that is away at the start is looked for again
        when it is needed.
    """

    def __init__(self, url: str, timeout_ms: int, bulk_timeout_ms: int) -> None:
        self._url = ClusterUrl.parsed(url)
        self._timeout_ms = timeout_ms
        self._bulk_timeout_ms = bulk_timeout_ms
        self._lock = threading.Lock()
        self._cluster: ClusterClient | None = None
        self._nodes: dict[tuple[str, int], tuple[Client, RedisHops]] = {}
        self._learner: threading.Thread | None = None
        self._next_learn_s = 0.0
        self._learn()

    def cluster(self) -> ClusterClient:
        """Returns the client, connecting where that has not been possible yet.

        Raises:
            UnavailableError: no node answers.
        """
        with self._lock, redis_errors("connect to the cluster"):
            if self._cluster is None:
                self._cluster = connect_cluster(
                    self._url.addresses,
                    self._url.username,
                    self._url.password,
                    self._bulk_timeout_ms,
                )
            return self._cluster

    def mget(self, keys: list[bytes], timeout_us: int) -> list[bytes | None]:
        """Returns what MGET replies for keys of one slot, on the request path.

        Raises:
            redis.RedisError, NoNodeError, TimeoutError: as a call of the client.
        """
        end = time.monotonic() + timeout_us / 1e6
        if self._cluster is None:
            self._learn_soon()
            raise LostConnectionError("the cluster has not been reached yet")
        try:
            node = self._cluster.get_node_from_key(keys[0])
            return self._hops(node.host, node.port).mget(keys, timeout_us)
        except ReplyError as error:
            word, host, port = _redirection(error, node.host)
            self._learn_soon()
            left_us = max(int((end - time.monotonic()) * 1e6), 1)
            return self._hops(host, port).mget(keys, left_us, asking=word == "ASK")
        except (LostConnectionError, NoNodeError, TimeoutError):
            # Perhaps another node has its slots by now.
            self._learn_soon()
            raise

    def close(self) -> None:
        """Gives up all connections."""
        learner, self._next_learn_s = self._learner, float("inf")
        if learner is not None:
            learner.join()
        for client, _ in self._nodes.values():
            client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _hops(self, host: str, port: int) -> RedisHops:
        found = self._nodes.get((host, port))
        if found is None:
            login = f"{self._url.login}@" if self._url.login else ""
            name = f"[{host}]" if ":" in host else host
            client = connect(f"redis://{login}{name}:{port}", self._timeout_ms)
            # Of two threads that are first, one's is dropped: nothing is open yet.
            made = (client, RedisHops(client))
            found = self._nodes.setdefault((host, port), made)
        return found[1]

    def _learn_soon(self) -> None:
        now = time.monotonic()
        # Who comes while another one is at it has nothing to add.
        if now < self._next_learn_s or not self._lock.acquire(blocking=False):
            return
        try:
            self._next_learn_s = now + _LEARN_PAUSE_S
            if self._learner is None or not self._learner.is_alive():
                self._learner = threading.Thread(
                    target=self._learn, name="redis-cluster", daemon=True
                )
                self._learner.start()
        finally:
            self._lock.release()

    def _learn(self) -> None:
        """Asks who has what, and connects to whom requests will ask."""
        what = "learn the cluster's nodes"
        with suppress(UnavailableError), redis_errors(what):
            is_known = self._cluster is not None
            cluster = self.cluster()
            if is_known:
                cluster.nodes_manager.initialize()
            for node in cluster.get_primaries():
                with suppress(UnavailableError), redis_errors(what):
                    hops = self._hops(node.host, node.port)
                    hops.connect(self._bulk_timeout_ms * 1_000)


def _redirection(error: ReplyError, asked: str) -> tuple[str, str, int]:
    """Returns (MOVED or ASK, host, port), or raises the error when it is no such.

    Args:
        asked: host of the node that says so; one that knows no other means itself.
    """
    word, *rest = str(error).split(" ")
    if word not in {"MOVED", "ASK"} or len(rest) != 2:
        raise error
    host, _, port = rest[1].rpartition(":")
    if not port.isdecimal():
        raise error
    return word, host.strip("[]") or asked, int(port)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError(text)
    return host.strip("[]"), int(port)
