"""Every limit of a caller's field: at it, one over it, far over it; and the memory."""

import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import psutil
import pytest

from header_blocks import decoded, literal_block
from integration.small_project import SmallProject
from limit_breaches import (
    FIELDS,
    HUGE_MESSAGES,
    MAPS,
    METHODS,
    RECOMMEND,
    Breach,
    breaches,
    entry_breaches,
    field_breaches,
    map_breaches,
    message_breaches,
    padded,
    request_with,
    value_of,
)
from server_process import ServerProcess, server_process
from stepwell.serving.limits import (
    LIMITS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    Limit,
)
from stepwell_pb.v1 import feedback_pb2, recommend_pb2

MIB = 1024 * 1024
BATCHES = 4
WARM_UP_ROUNDS = 3
SMALL_BYTES = 4_096

LATER_THAN_NOW = "event_time_seconds"
"""Its end is a day from now, long before its limit."""


@pytest.fixture(scope="module")
def channel(ranker: ServerProcess) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(ranker.address, options) as channel:
        yield channel


def _code(
    channel: grpc.Channel,
    method: str,
    raw: bytes,
    metadata: tuple[tuple[str, str], ...] = (),
) -> grpc.StatusCode:
    untyped: Any = channel  # its types ask for serializers; bytes need none
    try:
        untyped.unary_unary(method)(raw, timeout=20, metadata=metadata)
    except grpc.RpcError as error:
        call: Any = error
        return cast(grpc.StatusCode, call.code())
    return grpc.StatusCode.OK


@pytest.mark.parametrize(("message", "field", "limit"), FIELDS)
def test_at_the_limit_is_answered_and_beyond_it_is_the_callers_mistake(
    channel: grpc.Channel, message: str, field: str, limit: Limit
) -> None:
    method = METHODS[message]
    sizes = (limit.low,) if field == LATER_THAN_NOW else (limit.low, limit.high)
    for size in sizes:
        raw = request_with(message, field, value_of(message, field, size))
        assert _code(channel, method, raw) is grpc.StatusCode.OK
    for breach in field_breaches(message, field, limit):
        assert len(breach.raw) <= MAX_MESSAGE_BYTES
        code = _code(channel, breach.path, breach.raw)
        assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("message", "field", "limit"), [each for each in FIELDS if each[2].each]
)
def test_every_entry_of_a_list_has_its_limit(
    channel: grpc.Channel, message: str, field: str, limit: Limit
) -> None:
    assert limit.each is not None
    for size in (limit.each.low, limit.each.high):
        raw = request_with(message, field, ["ok", "x" * size])
        assert _code(channel, METHODS[message], raw) is grpc.StatusCode.OK
    for breach in entry_breaches(message, field, limit):
        code = _code(channel, breach.path, breach.raw)
        assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("message", MAPS)
def test_features_of_a_request_are_known_and_in_their_range(
    channel: grpc.Channel, message: str
) -> None:
    said = {"local_hour": 23.0, "local_weekday": 0.0}
    raw = request_with(message, "request_features", said)
    assert _code(channel, METHODS[message], raw) is grpc.StatusCode.OK
    for breach in map_breaches(message):
        assert len(breach.raw) <= MAX_MESSAGE_BYTES
        code = _code(channel, breach.path, breach.raw)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, breach.what


def test_a_message_has_its_limit(channel: grpc.Channel) -> None:
    whole = padded(MAX_MESSAGE_BYTES)
    assert len(whole) == MAX_MESSAGE_BYTES
    assert _code(channel, RECOMMEND, whole) is grpc.StatusCode.OK
    for size in HUGE_MESSAGES:
        code = _code(channel, RECOMMEND, padded(size))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 0x1, 0x4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return struct.pack(">HBBBI", size >> 8, size & 0xFF, kind, flags, stream) + payload


def _ending(replies: Any) -> dict[str, str]:
    """Reads frames until a call is over; returns the headers it ends with."""
    while True:
        high, low, kind, flags, _ = struct.unpack(">HBBBI", replies.read(9))
        payload = replies.read(high << 8 | low)
        if kind == HEADERS and flags & END_STREAM:
            return decoded(payload)


@pytest.mark.parametrize("method", [RECOMMEND, METHODS["LogEventsRequest"]])
@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, 2**32 - 1])
def test_a_message_is_refused_by_the_length_it_claims(
    ranker: ServerProcess, method: str, size: int
) -> None:
    no_table = struct.pack(">HI", 1, 0)
    block = literal_block(ranker.address, method, "test")
    with socket.create_connection(("127.0.0.1", ranker.port), timeout=20) as line:
        line.sendall(
            PREFACE
            + _frame(SETTINGS, 0, 0, no_table)
            + _frame(HEADERS, END_HEADERS, 1, block)
            + _frame(DATA, 0, 1, b"\0" + struct.pack(">I", size))
        )
        # Not one byte of the message has been sent, and none will be.
        with line.makefile("rb") as replies:
            ended = _ending(replies)
    assert ended["grpc-status"] == "8"
    assert ended["grpc-message"] == f"request is {size} bytes, must be at most 262144"


def test_a_header_block_has_its_limit(channel: grpc.Channel) -> None:
    good = recommend_pb2.RecommendRequest(user_id="u", num_items=1).SerializeToString()
    # Its own headers take a few hundred bytes of the block.
    within = (("padding", "x" * (MAX_METADATA_BYTES - 1_024)),)
    assert _code(channel, RECOMMEND, good, within) is grpc.StatusCode.OK
    one_over = (("padding", "x" * (MAX_METADATA_BYTES + 1)),)
    far_over = tuple((f"padding{n}", "x" * MAX_METADATA_BYTES) for n in range(16))
    for beyond in (one_over, far_over):
        code = _code(channel, RECOMMEND, good, beyond)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    # One field that HPACK's reader cannot take in ends the connection of who sent it.
    code = _code(channel, RECOMMEND, good, (("padding", "x" * 128 * 1024),))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert _code(channel, RECOMMEND, good) is grpc.StatusCode.OK


def _claims() -> list[Breach]:
    """What asks for too much in a few bytes."""
    return [one for one in breaches() if len(one.raw) <= SMALL_BYTES]


def _lists() -> list[Breach]:
    """What is far too long and yet within the limit of a message."""
    return [one for one in breaches() if SMALL_BYTES < len(one.raw) < MAX_MESSAGE_BYTES]


def _resident_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


@pytest.mark.parametrize(
    ("refused", "num_rounds", "most_bytes"),
    [
        # Checked before anything is allocated for it.
        (_claims, 10, MIB),
        # Refused by its length, before it is read.
        (message_breaches, 3, MIB),
        # Counted, not parsed; ten rounds are 25 MiB of them.
        (_lists, 10, MIB),
    ],
)
def test_refusing_takes_no_memory(
    ranker: ServerProcess,
    channel: grpc.Channel,
    refused: Callable[[], list[Breach]],
    num_rounds: int,
    most_bytes: int,
) -> None:
    requests, pid = refused(), ranker.process.pid
    assert requests

    def send_all() -> None:
        for one in requests:
            assert _code(channel, one.path, one.raw) is not grpc.StatusCode.OK

    send_all()
    growths = []
    # What a refusal leaves behind is there every time; what the heap and the threads
    # beside do is not.
    for _ in range(BATCHES):
        before = _resident_bytes(pid)
        for _ in range(num_rounds):
            send_all()
        growths.append(_resident_bytes(pid) - before)
    assert min(growths) <= most_bytes, growths


def _peak_bytes(pid: int, work: Callable[[], None]) -> int:
    """How far a process grew while work was done, beyond what it had before."""
    before = _resident_bytes(pid)
    # Linux: the high-water mark begins anew.
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    work()
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak) * 1024 - before


def test_a_list_that_is_too_long_is_at_no_moment_in_memory(
    project: SmallProject,
) -> None:
    # A process that has parsed such a list once keeps the memory for the next one: it
    # must be a new process.
    with (
        server_process("ranker_main", project.flags()) as ranker,
        grpc.insecure_channel(ranker.address) as channel,
    ):

        def send(requests: list[Breach]) -> None:
            for one in requests:
                _code(channel, one.path, one.raw)

        large = Breach("the largest message", RECOMMEND, padded(MAX_MESSAGE_BYTES))
        for _ in range(WARM_UP_ROUNDS):
            send([large, *_claims()])
        lists = [
            one
            for one in breaches()
            if re.search(r"(_ids|\.events) far over", one.what)
        ]
        assert len(lists) == 3
        growth = _peak_bytes(ranker.process.pid, lambda: send(lists * 5))
    assert growth <= MIB


def test_no_limited_message_of_a_caller_is_left_out() -> None:
    of_servers = {"SearchRequest", "UpsertRequest", "DeleteRequest", "LookupRequest"}
    of_operators = {name for name in LIMITS if name.endswith("Request")} - set(METHODS)
    assert set(LIMITS) == set(METHODS) | of_servers | (of_operators - of_servers)
    services = (
        recommend_pb2.DESCRIPTOR.services_by_name["RecommendService"],
        feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"],
    )
    asked = {method.input_type.name for one in services for method in one.methods}
    assert asked <= set(METHODS)


def test_the_ranker_serves_on_after_all_of_it(
    channel: grpc.Channel, project: SmallProject
) -> None:
    user_id = project.user_ids[0]
    good = recommend_pb2.RecommendRequest(user_id=user_id, num_items=10)
    assert _code(channel, RECOMMEND, good.SerializeToString()) is grpc.StatusCode.OK
