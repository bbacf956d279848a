"""A real Redis Cluster for tests: three servers, free ports, gone at the end."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from stepwell.stores.redis_server_fixture import RedisServer, free_port, redis_server

NUM_NODES = 3
NUM_SLOTS = 16_384
_READY_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Running masters; each has a third of the slots and no replica."""

    url: str
    nodes: list[RedisServer]

    def node_of(self, slot: int) -> RedisServer:
        """Returns the node that the slot was given to at the start."""
        return self.nodes[slot * NUM_NODES // NUM_SLOTS]


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Runs three nodes on loopback; one's death leaves the others' keys readable."""
    with ExitStack() as stack:
        bus_ports = [free_port() for _ in range(NUM_NODES)]
        nodes = [
            stack.enter_context(redis_server(folder / str(n), node_arguments(port)))
            for n, port in enumerate(bus_ports)
        ]
        clients = [
            stack.enter_context(closing(redis.Redis(port=node.port, protocol=2)))
            for node in nodes
        ]
        _join(clients, nodes, bus_ports)
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield RedisCluster(f"redis-cluster://{addresses}", nodes)


def node_arguments(bus_port: int) -> list[str]:
    """Returns the options that make a server a node."""
    return [
        *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
        *("--cluster-require-full-coverage", "no"),
        *("--cluster-node-timeout", "2000"),
    ]


def _join(
    clients: list[redis.Redis], nodes: list[RedisServer], bus_ports: list[int]
) -> None:
    for n, client in enumerate(clients):
        first, end = (-(-NUM_SLOTS * m // NUM_NODES) for m in (n, n + 1))
        _ask(client, "CLUSTER ADDSLOTSRANGE", str(first), str(end - 1))
        # Of their own each: two that meet with the same one have to settle it first.
        _ask(client, "CLUSTER SET-CONFIG-EPOCH", str(n + 1))
    for node, bus_port in zip(nodes[1:], bus_ports[1:], strict=True):
        address = ("127.0.0.1", str(node.port), str(bus_port))
        _ask(clients[0], "CLUSTER MEET", *address)
    pause = threading.Event()
    for _ in range(int(_READY_WAIT_S / 0.02)):
        if all(_is_ready(client) for client in clients):
            return
        pause.wait(0.02)
    raise RuntimeError("the nodes did not become a cluster")


def _is_ready(client: redis.Redis) -> bool:
    if len(_ask(client, "CLUSTER SLOTS")) < NUM_NODES:
        return False
    return bool(_ask(client, "CLUSTER INFO")["cluster_state"] == "ok")


def _ask(client: redis.Redis, command: str, *words: str) -> Any:
    return client.execute_command(command, *words)  # type: ignore[no-untyped-call]
