"""embedding_shard_main: serves one shard's rows of embedding tables over gRPC.

    embedding_shard_main --shard_map=map.json --shard=0 --table=items=items.safetensors

Prints one JSON line {"port": ..., "metrics_port": ...} once health says SERVING.
SIGTERM and SIGINT drain: health turns NOT_SERVING, calls in flight finish, exit 0.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from stepwell.base.errors import InvalidArgumentError, StepwellError
from stepwell.base.metrics import Metrics
from stepwell.embeddings.embedding_table import EmbeddingTable
from stepwell.embeddings.shard_map import ShardMap
from stepwell.serving.embedding_servicer import EmbeddingServicer
from stepwell.serving.process_life import log_as_json, serve_until_signal
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell_pb.v1 import embedding_pb2, embedding_pb2_grpc

_MAP = flags.DEFINE_string("shard_map", None, "File of the shard map.", required=True)
_SHARD = flags.DEFINE_integer("shard", None, "This shard's number.", required=True)
_TABLES = flags.DEFINE_multi_string(
    "table", None, "NAME=FILE of a table; once for each.", required=True
)
_SERIAL = flags.DEFINE_integer(
    "release_serial", 1, "Serial of the release the tables come from.", 1
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 0, "Port for gRPC; 0 takes a free one.", 0, 65_535)
_METRICS_PORT = flags.DEFINE_integer(
    "metrics_port", 0, "Port for /metrics; 0 takes a free one.", 0, 65_535
)


def _tables(named: Sequence[str]) -> dict[str, EmbeddingTable]:
    tables = {}
    for word in named:
        name, _, file = word.partition("=")
        if not name or not file or name in tables:
            raise InvalidArgumentError(
                f"--table is {word!r}, must be NAME=FILE, each name once", "table"
            )
        tables[name] = EmbeddingTable.load(Path(file))
    return tables


async def _serve() -> None:
    metrics = Metrics()
    servicer = EmbeddingServicer(
        _tables(_TABLES.value),
        ShardMap.load(Path(_MAP.value)),
        _SHARD.value,
        _SERIAL.value,
    )
    server = SingleServiceServer(
        embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"],
        lambda grpc_server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(
            servicer, grpc_server
        ),
        metrics,
        f"{_HOST.value}:{_PORT.value}",
    )
    await serve_until_signal(server, metrics, _HOST.value, _METRICS_PORT.value)


def main(argv: Sequence[str]) -> int:
    """Maps the tables, serves until a signal; 1 when it cannot start."""
    if len(argv) > 1:
        print(f"unknown argument: {argv[1]}", file=sys.stderr)
        return 2
    log_as_json()
    try:
        asyncio.run(_serve())
    except (StepwellError, OSError) as error:
        print(f"embedding_shard_main: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
