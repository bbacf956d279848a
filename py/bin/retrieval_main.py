"""retrieval_main: serves one index file over gRPC.

    retrieval_main --index=index.hnsw --port=0

Prints one JSON line {"port": ..., "metrics_port": ...} once health says SERVING.
SIGTERM and SIGINT drain: health turns NOT_SERVING, calls in flight finish, exit 0.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from absl import app, flags

from stepwell.base.errors import StepwellError
from stepwell.base.metrics import Metrics
from stepwell.index.ann_index import HnswIndex
from stepwell.serving.metrics_server import MetricsServer
from stepwell.serving.retrieval_server import RetrievalServer

_INDEX = flags.DEFINE_string("index", None, "File of HnswIndex.save.", required=True)
_SPACE_HASH = flags.DEFINE_string(
    "space_hash", None, "Refuse an index of another embedding space: 64 hex digits."
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 0, "Port for gRPC; 0 takes a free one.", 0, 65_535)
_METRICS_PORT = flags.DEFINE_integer(
    "metrics_port", 0, "Port for /metrics; 0 takes a free one.", 0, 65_535
)
_EF_SEARCH = flags.DEFINE_integer(
    "ef_search", 128, "Width of searches that do not say.", 1, 10_000
)

_GRACE_SECONDS = 5.0


async def _serve(index: HnswIndex) -> None:
    metrics = Metrics()
    address = f"{_HOST.value}:{_PORT.value}"
    server = RetrievalServer(index, metrics, address, _EF_SEARCH.value)
    metrics_server = MetricsServer(
        metrics, lambda: None, _HOST.value, _METRICS_PORT.value
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics_server.start()
    await server.start()
    ports = {"port": server.port, "metrics_port": metrics_server.port}
    print(json.dumps(ports), flush=True)
    await stop.wait()
    await server.drain(_GRACE_SECONDS)
    metrics_server.close()


def main(argv: Sequence[str]) -> int:
    """Opens the index, serves until a signal; 1 when it cannot start."""
    if len(argv) > 1:
        print(f"unknown argument: {argv[1]}", file=sys.stderr)
        return 2
    try:
        expected = bytes.fromhex(_SPACE_HASH.value) if _SPACE_HASH.value else None
        asyncio.run(_serve(HnswIndex.open(_INDEX.value, expected)))
    except (StepwellError, OSError, ValueError) as error:
        print(f"retrieval_main: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
