"""What the collector answers to events that are wrong, and what it counts."""

import math
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from integration.event_collector_test import batch, stored_names
from server_process import ServerProcess, server_process
from stepwell.serving.limits import MAX_MESSAGE_BYTES
from stepwell_pb.v1 import common_pb2, feedback_pb2

SERVICE = "/stepwell_pb.v1.FeedbackService"
REFUSED = "stepwell_feedback_event_batches_refused_total"
INVALID = "INVALID_ARGUMENT"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collector") / "events.lmdb"


@pytest.fixture(scope="module")
def collector(log: Path) -> Iterator[ServerProcess]:
    with server_process("event_collector_main", [f"--event_log={log}"]) as process:
        yield process


def counted(collector: ServerProcess, series: str) -> float:
    page = f"http://127.0.0.1:{collector.metrics_port}/metrics"
    with urllib.request.urlopen(page) as answer:
        lines = answer.read().decode().splitlines()
    values = [line.split()[-1] for line in lines if line.startswith(series + " ")]
    return float(values[0]) if values else 0.0


def handled(method: str, code: str) -> str:
    return (
        f'grpc_server_handled_total{{grpc_code="{code}",grpc_method="{method}",'
        f'grpc_service="FeedbackService"}}'
    )


def answered(collector: ServerProcess, method: str, raw: bytes) -> Any:
    """The answer to one message, by the call or by a stream of this one message."""
    with grpc.insecure_channel(collector.address) as channel:
        path = f"{SERVICE}/{method}"
        if method == "LogEvents":
            return channel.unary_unary(path, bytes, bytes)(raw, timeout=30)
        stream: Any = channel.stream_stream(path, bytes, bytes)
        return next(stream(iter([raw]), timeout=30))


def one(**fields: Any) -> bytes:
    """A batch whose second event has these fields."""
    good, bad = batch(["good", "bad"]).events
    for name, value in fields.items():
        setattr(bad, name, value)
    return feedback_pb2.LogEventsRequest(events=[good, bad]).SerializeToString()


WRONG = {
    "a value that is NaN": (one(value=math.nan), "value", "is nan"),
    "a value that is infinite": (one(value=math.inf), "value", "is inf"),
    "a time to come": (
        one(event_time_seconds=4_000_000_000),
        "event_time_seconds",
        "is 4000000000, must be in [0, ",
    ),
    "no type": (
        one(event_type=common_pb2.EVENT_TYPE_UNSPECIFIED),
        "event_type",
        "must say what happened",
    ),
    "a type of no meaning": (one(event_type=99), "event_type", "is 99, must be one of"),
    "a text too long": (one(user_id="u" * 257), "user_id", "with 257 bytes"),
    "the server's own id": (one(event_id="impression:r"), "event_id", "begins with"),
}


@pytest.mark.parametrize("method", ["LogEvents", "LogEventsStream"])
@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_wrong_event_refuses_its_batch_and_is_counted_by_its_field(
    collector: ServerProcess, method: str, case: tuple[bytes, str, str]
) -> None:
    raw, field, said = case
    series = f'{REFUSED}{{field="{field}"}}'
    before = counted(collector, series)
    with pytest.raises(grpc.RpcError) as caught:
        answered(collector, method, raw)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = str(caught.value.details())
    assert details.startswith(f"events[1].{field} ")
    assert said in details
    assert counted(collector, series) == before + 1


@pytest.mark.parametrize("method", ["LogEvents", "LogEventsStream"])
@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (b"\x0a\xff", INVALID, "request is 2 bytes that are no stepwell_pb"),
        (b"", INVALID, "events has 0 entries, must be in [1, 1000] events"),
        (b"\x0a\x00" * 1_001, INVALID, "events has 1001 entries"),
        (
            batch(["x" * MAX_MESSAGE_BYTES]).SerializeToString(),
            "RESOURCE_EXHAUSTED",
            "bytes, must be at most 262144",
        ),
    ],
    ids=["of another type", "empty", "too many", "oversized"],
)
def test_a_wrong_message_is_refused_and_counted_by_its_status(
    collector: ServerProcess, method: str, raw: bytes, code: str, said: str
) -> None:
    before = counted(collector, handled(method, code))
    with pytest.raises(grpc.RpcError) as caught:
        answered(collector, method, raw)
    assert caught.value.code().name == code
    assert said in str(caught.value.details())
    assert counted(collector, handled(method, code)) == before + 1


def test_repeats_are_answered_stored_once_and_counted(
    collector: ServerProcess, log: Path
) -> None:
    raw = batch(["once"]).SerializeToString()
    for method in ("LogEvents", "LogEventsStream", "LogEvents"):
        answered(collector, method, raw)
    assert counted(collector, "stepwell_feedback_events_duplicate_total") == 2
    # And of all that was refused, nothing.
    assert stored_names(log) == ["once"]
