"""retrieval_main: serves one index file, or one shard of an index, over gRPC.

    retrieval_main --index=index.hnsw --port=0
    retrieval_main --index=shard-1.hnsw --shard=1 --num_shards=3

Prints one JSON line {"port": ..., "metrics_port": ...} once health says SERVING.
SIGTERM and SIGINT drain: health turns NOT_SERVING, calls in flight finish, exit 0.

Upserts and deletes change the index in memory, and are in every search that starts
after they were acknowledged. The file is never changed in place, so by default a
restart begins again with the file: WHAT WAS WRITTEN SINCE IS LOST, and whoever wrote it
writes it again, or publishes a new file. With --save_on_drain an index that was written
to replaces its file, whole or not at all, before the process ends by a signal; a crash
still loses what was written since the start.
"""

import asyncio
import sys
from collections.abc import Sequence

from absl import app, flags

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    StepwellError,
    check_range,
)
from stepwell.base.metrics import Metrics
from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Partition
from stepwell.index.ann_index import HnswIndex
from stepwell.serving.process_life import log_as_json, serve_until_signal
from stepwell.serving.retrieval_server import RetrievalServer
from stepwell.serving.retrieval_servicer import OwnShard, RetrievalOptions

_INDEX = flags.DEFINE_string("index", None, "File of HnswIndex.save.", required=True)
_SPACE_HASH = flags.DEFINE_string(
    "space_hash", None, "Refuse an index of another embedding space: 64 hex digits."
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 0, "Port for gRPC; 0 takes a free one.", 0, 65_535)
_METRICS_HOST = flags.DEFINE_string("metrics_host", "127.0.0.1", "Address of /metrics.")
_METRICS_PORT = flags.DEFINE_integer(
    "metrics_port", 0, "Port for /metrics; 0 takes a free one.", 0, 65_535
)
_EF_SEARCH = flags.DEFINE_integer(
    "ef_search", 128, "Width of searches that do not say.", 1, 10_000
)
_SEARCHERS = flags.DEFINE_integer("searchers", 2, "Threads that search.", 1, 256)
_MAX_WAITING = flags.DEFINE_integer(
    "max_waiting", 64, "Searches, and writes, that may wait for a thread.", 0, 65_536
)
_PROBE_SHARE = flags.DEFINE_float(
    "recall_probe_share",
    0.001,
    "Part of the queries that are answered again exactly, off the request path: the "
    "gauge stepwell_retrieval_recall_at_k.",
    0.0,
    1.0,
)
_SHARD = flags.DEFINE_integer(
    "shard", None, "This process's part of the index, from 0; without it, all of it."
)
_NUM_SHARDS = flags.DEFINE_integer("num_shards", None, "Parts that the index is in.")
_PARTITION = flags.DEFINE_enum(
    "partition", "hash", [one.value for one in Partition], "How labels have shards."
)
_NUM_LABELS = flags.DEFINE_integer(
    "num_labels", 0, "With --partition=range: labels 0..num_labels-1 are cut evenly."
)
_SAVE_ON_DRAIN = flags.DEFINE_boolean(
    "save_on_drain",
    False,
    "On SIGTERM or SIGINT, an index that was written to replaces its file. Without "
    "this, and in a crash, upserts and deletes since the start are lost.",
)


def _own_shard() -> OwnShard | None:
    number, num_shards = _SHARD.value, _NUM_SHARDS.value
    if number is None and num_shards is None:
        return None
    if number is None or num_shards is None:
        raise InvalidArgumentError("give both of --shard and --num_shards", "shard")
    partition = Partition(_PARTITION.value)
    shards = LabelShards(num_shards, partition, _NUM_LABELS.value)
    check_range("shard", number, 0, num_shards - 1)
    return OwnShard(number, shards)


def _check_labels(index: HnswIndex, shard: OwnShard) -> None:
    """A file of another shard, or of all of them, is noticed before it is served."""
    try:
        shard.shards.check_owned(index.ids(), shard.number)
    except InvalidArgumentError as error:
        raise FailedPreconditionError(f"{_INDEX.value}: {error}") from None


async def _serve() -> None:
    shard = _own_shard()
    space_hash = bytes.fromhex(_SPACE_HASH.value) if _SPACE_HASH.value else None
    index = HnswIndex.open(_INDEX.value, space_hash)
    if shard is not None:
        _check_labels(index, shard)
    metrics = Metrics()
    options = RetrievalOptions(
        default_ef_search=_EF_SEARCH.value,
        num_searchers=_SEARCHERS.value,
        max_waiting=_MAX_WAITING.value,
        shard=shard,
        recall_probe_share=_PROBE_SHARE.value,
    )
    server = RetrievalServer(index, metrics, f"{_HOST.value}:{_PORT.value}", options)
    await serve_until_signal(
        server, metrics, _METRICS_HOST.value, _METRICS_PORT.value, server.refresh_gauges
    )
    if _SAVE_ON_DRAIN.value and server.index_changed:
        index.save(_INDEX.value)


def main(argv: Sequence[str]) -> int:
    """Opens the index, serves until a signal; 1 when it cannot start or save."""
    if len(argv) > 1:
        print(f"unknown argument: {argv[1]}", file=sys.stderr)
        return 2
    log_as_json()
    try:
        asyncio.run(_serve())
    except (StepwellError, OSError, ValueError) as error:
        print(f"retrieval_main: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
