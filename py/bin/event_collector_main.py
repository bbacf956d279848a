"""event_collector_main: takes events in over gRPC; an answer means they are on disk.

    event_collector_main --event_log=events.lmdb --port=0
    event_collector_main --event_log=redis://127.0.0.1:6379/0

Rankers and the collector may share one log. Prints one JSON line {"port": ...,
"metrics_port": ...} once health says SERVING. SIGTERM and SIGINT drain: calls in flight
finish, what was taken in is made durable, exit 0.
"""

import asyncio
import sys
from collections.abc import Sequence

from absl import app, flags

from stepwell.base.clock import SystemClock
from stepwell.base.errors import StepwellError
from stepwell.base.metrics import Metrics
from stepwell.serving.feedback_servicer import FeedbackServicer
from stepwell.serving.process_life import log_as_json, serve_until_signal
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell.stores.event_log import EventLog
from stepwell.stores.locations import open_event_log
from stepwell_pb.v1 import feedback_pb2, feedback_pb2_grpc

_LOG = flags.DEFINE_string(
    "event_log", None, "The log: a folder (LMDB) or redis://host:port/0.", required=True
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 0, "Port for gRPC; 0 takes a free one.", 0, 65_535)
_METRICS_PORT = flags.DEFINE_integer(
    "metrics_port", 0, "Port for /metrics; 0 takes a free one.", 0, 65_535
)


async def _serve(log: EventLog) -> None:
    metrics = Metrics()
    servicer = FeedbackServicer(log, SystemClock(), metrics)
    server = SingleServiceServer(
        feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"],
        lambda grpc_server: feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(
            servicer, grpc_server
        ),
        metrics,
        f"{_HOST.value}:{_PORT.value}",
    )
    await serve_until_signal(server, metrics, _HOST.value, _METRICS_PORT.value)


def main(argv: Sequence[str]) -> int:
    """Opens the log, serves until a signal; 1 when it cannot start."""
    if len(argv) > 1:
        print(f"unknown argument: {argv[1]}", file=sys.stderr)
        return 2
    log_as_json()
    try:
        log = open_event_log(_LOG.value)
        try:
            asyncio.run(_serve(log))
        finally:
            log.close()
    except (StepwellError, OSError) as error:
        print(f"event_collector_main: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
