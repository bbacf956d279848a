"""/metrics over HTTP on its own port, loopback unless told otherwise."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

_CLOSE_POLL_SECONDS = 0.05
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_READERS = 8
"""Pages made at once. A scraper needs one."""

_BUSY = (
    b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n"
    b"Content-Type: text/plain\r\n\r\ntoo many readers\n"
)


class MetricsPage(Protocol):
    """What a reader is shown: Metrics, or the pages of several processes as one."""

    def exposition(self) -> bytes:
        """Returns the page in Prometheus' text format; called from any thread."""
        ...


class _BoundedServer(ThreadingHTTPServer):
    """A thread for each reader, up to MAX_READERS; the next is told to come back."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._places = threading.BoundedSemaphore(MAX_READERS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            # Fits into the socket's buffer: the accepting thread does not wait.
            request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class MetricsServer:
    """Serves the metrics of one process.

    Args:
        metrics: what to expose.
        refresh: called before every answer, to set gauges that nobody else sets.
        host, port: where to listen; port 0 takes a free one.

    Concurrency: its own daemon threads, at most MAX_READERS beside the accepting one.
    """

    def __init__(
        self, metrics: MetricsPage, refresh: Callable[[], None], host: str, port: int
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 5  # a reader that stalls gives its thread back

            def do_GET(self) -> None:
                if self.path.split("?")[0] != "/metrics":
                    self.send_error(404, "only /metrics is here")
                    return
                refresh()
                body = metrics.exposition()
                self.send_response(200)
                self.send_header("Content-Type", _CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Scrapes are not worth a log line."""

        self._server = _BoundedServer((host, port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_CLOSE_POLL_SECONDS,),
            name="metrics",
            daemon=True,
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stops answering and gives the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
