"""Feast's Python feature server, the peer of benchmark `features`' online read.

It has a virtual environment of its own, `.venv-feast` (BENCHMARKS.md says how to
make it); without one there is only the figure that Feast publishes. Three views of
20 features over Redis on loopback, one worker, one user a request, one patient caller
over one connection: what the server costs, not what it holds.
"""

import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from stepwell.base.errors import UnavailableError
from stepwell.stores.redis_server_fixture import redis_server

NUM_VIEWS, FEATURES_A_VIEW, NUM_USERS = 3, 20, 200
FEAST = "Feast's Python server, three views, one row"
PUBLISHED = {"Feast's Python server, as published": 7.2}
"""Milliseconds at p99: one row, 50 features of five views, from Feast's own pages."""

_START_WAIT_S, _STEP_WAIT_S = 60.0, 180.0
_NUM_WARM = 50
_DAYS = ("2023-01-01T00:00:00", "2025-01-01T00:00:00")
_EVENT_TIME = "2024-01-01"
_DEFINITIONS = f"""\
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
source = FileSource(
    name="rows", path="data/rows.parquet", timestamp_field="event_timestamp"
)
view_0, view_1, view_2 = (
    FeatureView(
        name=f"view_{{v}}",
        entities=[user],
        ttl=timedelta(days=36500),
        schema=[
            Field(name=f"f{{v}}_{{n}}", dtype=Float32) for n in range({FEATURES_A_VIEW})
        ],
        source=source,
    )
    for v in range({NUM_VIEWS})
)
"""


def feast_program(root: Path) -> Path | None:
    """Returns Feast's program in its own environment; None where that is not made."""
    program = root / ".venv-feast" / "bin" / "feast"
    return program if program.exists() else None


def feast_p99_ms(program: Path, num_requests: int) -> float:
    """Returns the p99 of a read of all features of one user; about a minute.

    Raises:
        UnavailableError: Feast's program failed; says what it said last.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with redis_server(folder / "redis") as redis:
            _write_repository(folder, redis.port)
            _run(program, folder, "apply", "--skip-source-validation")
            _run(program, folder, "materialize", *_DAYS)
            with _serving(program, folder) as port:
                _asked_ms(port, _NUM_WARM)
                return float(np.percentile(_asked_ms(port, num_requests), 99))


def _write_repository(folder: Path, redis_port: int) -> None:
    settings = {
        "project": "bench",
        "registry": "data/registry.db",
        "provider": "local",
        "offline_store": {"type": "file"},
        "online_store": {
            "type": "redis",
            "connection_string": f"localhost:{redis_port}",
        },
        "entity_key_serialization_version": 3,
    }
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(json.dumps(settings))
    (folder / "definitions.py").write_text(_DEFINITIONS)
    (folder / "data").mkdir()
    rng = np.random.default_rng(1)
    columns = {
        f"f{view}_{number}": rng.random(NUM_USERS).astype(np.float32)
        for view in range(NUM_VIEWS)
        for number in range(FEATURES_A_VIEW)
    }
    users = [f"user-{number}" for number in range(NUM_USERS)]
    rows = pl.DataFrame({"user_id": users, **columns})
    time_utc = pl.lit(_EVENT_TIME).str.to_datetime("%Y-%m-%d", time_zone="UTC")
    rows.with_columns(event_timestamp=time_utc).write_parquet(
        folder / "data" / "rows.parquet"
    )


def _environment() -> dict[str, str]:
    """Ours without what would lead its Python to our packages."""
    return {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "RUNFILES")}


def _run(program: Path, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=_STEP_WAIT_S,
        check=False,
    )
    if done.returncode:
        last = " | ".join((done.stdout + done.stderr).splitlines()[-3:])
        raise UnavailableError(f"feast {arguments[0]} failed: {last}")


@contextmanager
def _serving(program: Path, folder: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = ("-h", "127.0.0.1", "-p", str(port))
    process = subprocess.Popen(
        [str(program), "serve", *address, "--workers", "1", "--no-access-log"],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    pause, until = threading.Event(), time.monotonic() + _START_WAIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            _asked_ms(port, 1)
        except OSError:
            pause.wait(0.2)
        else:
            return
    raise UnavailableError("feast serve was not ready in time")


def _asked_ms(port: int, num_requests: int) -> list[float]:
    names = [
        f"view_{view}:f{view}_{number}"
        for view in range(NUM_VIEWS)
        for number in range(FEATURES_A_VIEW)
    ]
    took_ms = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as caller:
        for number in range(num_requests):
            user = {"user_id": [f"user-{number % NUM_USERS}"]}
            body = json.dumps({"features": names, "entities": user})
            started = time.perf_counter()
            caller.request(
                "POST",
                "/get-online-features",
                body,
                {"Content-Type": "application/json"},
            )
            answer = caller.getresponse()
            said = answer.read()
            took_ms.append((time.perf_counter() - started) * 1e3)
            if answer.status != http.client.OK:
                raise UnavailableError(f"feast answered {said[:200]!r}")
    return took_ms
