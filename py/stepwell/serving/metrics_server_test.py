"""The metrics page as a scraper reads it."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from stepwell.base.metric_names import FIT_RATIO
from stepwell.base.metrics import Metrics
from stepwell.serving.metrics_server import MAX_READERS, MetricsServer


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    metrics = Metrics()
    server = MetricsServer(metrics, lambda: metrics.set(FIT_RATIO, 0.5), "127.0.0.1", 0)
    server.start()
    yield server
    server.close()


def _get(server: MetricsServer, path: str) -> str:
    url = f"http://127.0.0.1:{server.port}{path}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def test_gauges_are_refreshed_before_every_answer(server: MetricsServer) -> None:
    assert f"{FIT_RATIO.name} 0.5" in _get(server, "/metrics")


def test_nothing_else_is_served(server: MetricsServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        _get(server, "/etc/passwd")


def test_readers_beyond_the_last_place_are_sent_away_until_one_is_free() -> None:
    metrics, inside, leave = Metrics(), threading.Semaphore(0), threading.Event()

    def refresh() -> None:
        inside.release()
        leave.wait(30)

    server = MetricsServer(metrics, refresh, "127.0.0.1", 0)
    server.start()
    readers = [
        threading.Thread(target=_get, args=(server, "/metrics"))
        for _ in range(MAX_READERS)
    ]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert inside.acquire(timeout=10)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        _get(server, "/metrics")
    leave.set()
    for reader in readers:
        reader.join()
    assert "# HELP" not in _get(server, "/metrics")  # no metric was touched
    server.close()
