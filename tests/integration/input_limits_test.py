"""Every limit of a caller's field: at it, one over it, far over it; and the memory."""

import math
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
import numpy as np
import psutil
import pytest
from google.protobuf.message import Message

from header_blocks import decoded, literal_block
from integration.small_project import SmallProject
from server_process import ServerProcess
from stepwell.serving.limits import (
    LIMITS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    Limit,
)
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

MIB = 1024 * 1024
BATCHES = 4
SMALL_BYTES = 4_096
HUGE_TEXT_BYTES = 200_000
HUGE_ENTRIES = 80_000
HUGE_MESSAGES = (MAX_MESSAGE_BYTES + 1, 8 * MIB)

RECOMMEND = "/stepwell_pb.v1.RecommendService/Recommend"
METHODS = {
    "RecommendRequest": RECOMMEND,
    "RankRequest": "/stepwell_pb.v1.RecommendService/Rank",
    "LogEventsRequest": "/stepwell_pb.v1.FeedbackService/LogEvents",
    "Event": "/stepwell_pb.v1.FeedbackService/LogEvents",
}
"""How each limited message of a caller reaches the server."""

FIELDS = [
    (message, field, limit)
    for message in METHODS
    for field, limit in LIMITS[message].items()
]
LATER_THAN_NOW = "event_time_seconds"
"""Its end is a day from now, long before its limit."""


def _good(message: str) -> Message:
    """The smallest message that is allowed."""
    if message == "RecommendRequest":
        return recommend_pb2.RecommendRequest(user_id="u", num_items=1)
    if message == "RankRequest":
        return recommend_pb2.RankRequest(user_id="u", candidate_item_ids=["i"])
    if message == "LogEventsRequest":
        return feedback_pb2.LogEventsRequest(events=[_event()])
    return _event()


def _event(number: int = 0) -> feedback_pb2.Event:
    return feedback_pb2.Event(
        event_id=f"limits-{number}",
        user_id="nobody in particular",
        item_id="i",
        event_type=common_pb2.EVENT_TYPE_CLICK,
    )


def _value(message: str, field: str, size: int) -> Any:
    """A value whose size, length or number of entries is `size`, or just over it."""
    descriptor = _good(message).DESCRIPTOR.fields_by_name[field]
    if field == "events":
        return [_event(number) for number in range(size)]
    if descriptor.is_repeated:
        return ["x"] * size
    if descriptor.type == descriptor.TYPE_STRING:
        return "x" * size
    if descriptor.type == descriptor.TYPE_FLOAT and size % 2:
        # One over an even limit is the limit itself, rounded; this is the next one.
        return float(np.nextafter(np.float32(size), np.float32(math.inf)))
    return size


def _request(message: str, field: str, value: Any) -> bytes:
    """A request that is good but for one field."""
    good = _good(message)
    good.ClearField(cast(Any, field))
    changed = type(good)(**{field: value})
    good.MergeFrom(changed)
    if isinstance(good, feedback_pb2.Event):
        return feedback_pb2.LogEventsRequest(events=[good]).SerializeToString()
    return good.SerializeToString()


def _huge(message: str, field: str, limit: Limit) -> Any:
    descriptor = _good(message).DESCRIPTOR.fields_by_name[field]
    if field == "events":
        return [feedback_pb2.Event()] * HUGE_ENTRIES
    if descriptor.is_repeated:
        return ["x"] * HUGE_ENTRIES
    if descriptor.type == descriptor.TYPE_STRING:
        return "x" * HUGE_TEXT_BYTES
    if descriptor.type in (descriptor.TYPE_DOUBLE, descriptor.TYPE_FLOAT):
        return math.inf
    return 2**63 - 1 if descriptor.type == descriptor.TYPE_INT64 else 2**31 - 1


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


def _over(message: str, field: str, limit: Limit) -> list[bytes]:
    """One over the limit, one under it where that exists, and far over it."""
    values = [_value(message, field, limit.high + 1), _huge(message, field, limit)]
    if limit.low > 0:
        values.append(_value(message, field, limit.low - 1))
    return [_request(message, field, value) for value in values]


@pytest.mark.parametrize(("message", "field", "limit"), FIELDS)
def test_at_the_limit_is_answered_and_beyond_it_is_the_callers_mistake(
    channel: grpc.Channel, message: str, field: str, limit: Limit
) -> None:
    method = METHODS[message]
    sizes = (limit.low,) if field == LATER_THAN_NOW else (limit.low, limit.high)
    for size in sizes:
        raw = _request(message, field, _value(message, field, size))
        assert _code(channel, method, raw) is grpc.StatusCode.OK
    for raw in _over(message, field, limit):
        assert len(raw) <= MAX_MESSAGE_BYTES
        assert _code(channel, method, raw) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("message", "field"),
    [("RecommendRequest", "exclude_item_ids"), ("RankRequest", "candidate_item_ids")],
)
def test_every_entry_of_a_list_has_its_limit(
    channel: grpc.Channel, message: str, field: str
) -> None:
    each = LIMITS[message][field].each
    assert each is not None
    for size, code in (
        (each.low, grpc.StatusCode.OK),
        (each.high, grpc.StatusCode.OK),
        (each.low - 1, grpc.StatusCode.INVALID_ARGUMENT),
        (each.high + 1, grpc.StatusCode.INVALID_ARGUMENT),
        (HUGE_TEXT_BYTES, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        raw = _request(message, field, ["ok", "x" * size])
        assert _code(channel, METHODS[message], raw) is code


def _padded(size: int) -> bytes:
    """A good request of exactly this many bytes: unknown fields are allowed."""
    raw = recommend_pb2.RecommendRequest(user_id="u", num_items=1).SerializeToString()
    # Field 1000, length-delimited, its length in five bytes of a varint.
    padding = size - len(raw) - 7
    length = bytes(
        (padding >> shift) & 0x7F | (0x80 if shift < 28 else 0)
        for shift in range(0, 35, 7)
    )
    return raw + b"\xc2\x3e" + length + bytes(padding)


def test_a_message_has_its_limit(channel: grpc.Channel) -> None:
    whole = _padded(MAX_MESSAGE_BYTES)
    assert len(whole) == MAX_MESSAGE_BYTES
    assert _code(channel, RECOMMEND, whole) is grpc.StatusCode.OK
    for size in HUGE_MESSAGES:
        code = _code(channel, RECOMMEND, _padded(size))
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


def _claims() -> list[tuple[str, bytes]]:
    """What asks for too much in a few bytes."""
    return [
        (METHODS[message], raw)
        for message, field, limit in FIELDS
        for raw in _over(message, field, limit)
        if len(raw) <= SMALL_BYTES
    ]


def _lists() -> list[tuple[str, bytes]]:
    """What is far too long and yet within the limit of a message."""
    return [
        (METHODS[message], raw)
        for message, field, limit in FIELDS
        for raw in _over(message, field, limit)
        if len(raw) > SMALL_BYTES
    ]


def _messages() -> list[tuple[str, bytes]]:
    """What is over the limit of a message."""
    return [(RECOMMEND, _padded(size)) for size in HUGE_MESSAGES]


def _resident_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


@pytest.mark.parametrize(
    ("refused", "num_rounds", "most_bytes"),
    [
        # Checked before anything is allocated for it.
        (_claims, 10, MIB),
        # Refused by its length, before it is read.
        (_messages, 3, MIB),
        # Counted, not parsed; ten rounds are 25 MiB of them.
        (_lists, 10, MIB),
    ],
)
def test_refusing_takes_no_memory(
    ranker: ServerProcess,
    channel: grpc.Channel,
    refused: Callable[[], list[tuple[str, bytes]]],
    num_rounds: int,
    most_bytes: int,
) -> None:
    requests, pid = refused(), ranker.process.pid
    assert requests

    def send_all() -> None:
        for method, raw in requests:
            assert _code(channel, method, raw) is not grpc.StatusCode.OK

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
