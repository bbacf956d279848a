"""The life of a small serving process: start, say the ports, wait, drain."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import structlog

from stepwell.base.metrics import Metrics
from stepwell.serving.metrics_server import MetricsServer

GRACE_SECONDS = 5.0


class DrainingServer(Protocol):
    """What a process serves. Concurrency: one event loop."""

    port: int

    async def start(self) -> None:
        """Serves from here on."""
        ...

    async def drain(self, grace_seconds: float) -> None:
        """Stops taking calls in and lets those in flight finish."""
        ...


async def serve_until_signal(
    server: DrainingServer,
    metrics: Metrics,
    metrics_host: str,
    metrics_port: int,
    refresh: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains.

    Prints one JSON line {"port": ..., "metrics_port": ...} when health says SERVING.

    Args:
        refresh: called before the metrics are read, to set gauges.
    """
    metrics_server = MetricsServer(metrics, refresh, metrics_host, metrics_port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics_server.start()
    await server.start()
    ports = {"port": server.port, "metrics_port": metrics_server.port}
    print(json.dumps(ports), flush=True)
    await stop.wait()
    await server.drain(GRACE_SECONDS)
    metrics_server.close()


def log_as_json() -> None:
    """Sends structlog's lines to standard error, one JSON object each.

    Standard output is for the line with the ports.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
