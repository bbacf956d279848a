"""Requests that break one limit of a caller each, made from the table of limits."""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from google.protobuf.message import Message

from stepwell.features.request_features import REQUEST_FIELD
from stepwell.serving.limits import LIMITS, MAX_MESSAGE_BYTES, Limit
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

HUGE_TEXT_BYTES = 200_000
HUGE_ENTRIES = 80_000
HUGE_NAMES = 10_000
HUGE_MESSAGES = (MAX_MESSAGE_BYTES + 1, 8 * 1024 * 1024)

RECOMMEND = "/stepwell_pb.v1.RecommendService/Recommend"
METHODS = {
    "RecommendRequest": RECOMMEND,
    "RankRequest": "/stepwell_pb.v1.RecommendService/Rank",
    "LogEventsRequest": "/stepwell_pb.v1.FeedbackService/LogEvents",
    "Event": "/stepwell_pb.v1.FeedbackService/LogEvents",
}
"""How each limited message of a caller reaches the server."""

MAPS = ("RecommendRequest", "RankRequest")
"""Messages with a map of features by name."""

FIELDS = [
    (message, field, limit)
    for message in METHODS
    for field, limit in LIMITS[message].items()
    if field != REQUEST_FIELD
]
"""Every limit of a caller: message, field, limit; but of fields that are maps."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A request that must be refused, and by what it can be told.

    Attributes:
        what: the message, its field, and how the limit is broken.
        path: of the method.
        raw: the request, serialised.
    """

    what: str
    path: str
    raw: bytes


def breaches() -> list[Breach]:
    """Returns every limit broken: just over it, just under it, far over it."""
    return [
        *(one for each in FIELDS for one in field_breaches(*each)),
        *(one for each in FIELDS for one in entry_breaches(*each)),
        *(one for message in MAPS for one in map_breaches(message)),
        *message_breaches(),
    ]


def field_breaches(message: str, field: str, limit: Limit) -> list[Breach]:
    """Returns a field one over its limit, far over it, and one under where there is."""
    values = {
        "one over": value_of(message, field, limit.high + 1),
        "far over": _huge(message, field),
    }
    if limit.low > 0:
        values["one under"] = value_of(message, field, limit.low - 1)
    return [_breach(message, field, how, value) for how, value in values.items()]


def entry_breaches(message: str, field: str, limit: Limit) -> list[Breach]:
    """Returns the same of one entry of a list; none where entries have no limit."""
    if (each := limit.each) is None:
        return []
    sizes = {
        "an entry one under": each.low - 1,
        "an entry one over": each.high + 1,
        "an entry far over": HUGE_TEXT_BYTES,
    }
    return [
        _breach(message, field, how, ["ok", "x" * size]) for how, size in sizes.items()
    ]


def map_breaches(message: str) -> list[Breach]:
    """Returns features of a request that are too many, unknown or out of range."""
    limit = LIMITS[message][REQUEST_FIELD]
    assert limit.each is not None
    values: dict[str, dict[str, float]] = {
        "one over": _names(limit.high + 1),
        "far over": _names(HUGE_NAMES),
        "a name one under": {"": 0.0},
        "a name one over": {"x" * (limit.each.high + 1): 0.0},
        "a name far over": {"x" * HUGE_TEXT_BYTES: 0.0},
        "a name unknown": {"x": 0.0},
        "a value one over": {"local_hour": 24.0},
        "a value between two": {"local_hour": 0.5},
        "a value far over": {"local_hour": math.inf},
        "a value of no order": {"local_hour": math.nan},
    }
    return [_breach(message, REQUEST_FIELD, how, each) for how, each in values.items()]


def _names(count: int) -> dict[str, float]:
    return {f"x{number}": 0.0 for number in range(count)}


def message_breaches() -> list[Breach]:
    """Returns messages over their limit, of which no byte is kept."""
    return [
        Breach(f"message of {size:,} bytes", RECOMMEND, padded(size))
        for size in HUGE_MESSAGES
    ]


def value_of(message: str, field: str, size: int) -> Any:
    """Returns a value of this size, length or number of entries, or just over it."""
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


def request_with(message: str, field: str, value: Any) -> bytes:
    """Returns a request that is good but for one field."""
    good = _good(message)
    good.ClearField(cast(Any, field))
    good.MergeFrom(type(good)(**{field: value}))
    if isinstance(good, feedback_pb2.Event):
        return feedback_pb2.LogEventsRequest(events=[good]).SerializeToString()
    return good.SerializeToString()


def padded(size: int) -> bytes:
    """Returns a good request of so many bytes: unknown fields are allowed."""
    raw = _good("RecommendRequest").SerializeToString()
    # Field 1000, length-delimited, its length in five bytes of a varint.
    padding = size - len(raw) - 7
    length = bytes(
        (padding >> shift) & 0x7F | (0x80 if shift < 28 else 0)
        for shift in range(0, 35, 7)
    )
    return raw + b"\xc2\x3e" + length + bytes(padding)


def _breach(message: str, field: str, how: str, value: Any) -> Breach:
    raw = request_with(message, field, value)
    return Breach(f"{message}.{field} {how}", METHODS[message], raw)


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


def _huge(message: str, field: str) -> Any:
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
