"""Every limit of every field, in one table; the .proto files repeat it for readers.

A limit is checked before anything is allocated for the field. A test holds this table
against the `[limit: ...]` comments of proto/stepwell_pb/v1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_MESSAGE_BYTES = 256 * 1024
"""Largest request that is read from the wire."""

MAX_INNER_MESSAGE_BYTES = 4 * 1024 * 1024
"""The same between servers of one system: an upsert of 1,000 wide vectors, a bitmap of
16M labels."""

MAX_METADATA_BYTES = 8 * 1024
"""Largest header block of a call."""

MAX_DEADLINE_MS = 60_000
"""A longer deadline is cut to this."""


@dataclass(frozen=True, slots=True)
class Limit:
    """An inclusive range.

    Attributes:
        low, high: the range of a number, of a string's UTF-8 bytes (unit "bytes"), or
            of the number of entries of a repeated field.
        unit: as the .proto comment names it; "" for a plain number.
        each: limit of every entry of a repeated field.
    """

    low: int
    high: int
    unit: str = ""
    each: "Limit | None" = None

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]{' ' if self.unit else ''}{self.unit}"


_ID = Limit(1, 256, "bytes")
_WORD = Limit(0, 256, "bytes")
_DEADLINE = Limit(0, MAX_DEADLINE_MS, "ms")
_NUM_LABELS = Limit(1, 1000, "labels")

_REQUEST_FEATURES = Limit(0, 32, "features", Limit(1, 64, "bytes"))

_RECOMMEND = {
    "user_id": _ID,
    "num_items": Limit(1, 500),
    "exclude_item_ids": Limit(0, 1000, "ids", _ID),
    "surface": _WORD,
    "deadline_ms": _DEADLINE,
    "request_id": _WORD,
    "request_features": _REQUEST_FEATURES,
}
_RANK = {
    "user_id": _ID,
    "candidate_item_ids": Limit(1, 2000, "ids", _ID),
    "num_items": Limit(0, 500),
    "surface": _WORD,
    "deadline_ms": _DEADLINE,
    "request_id": _WORD,
    "request_features": _REQUEST_FEATURES,
}
_EVENT = {
    "event_id": _ID,
    "user_id": _ID,
    "item_id": _ID,
    "event_time_seconds": Limit(0, 4_102_444_800, "s"),
    "value": Limit(0, 1_000_000_000),
    "request_id": _WORD,
    "position": Limit(0, 2000),
}
_SEARCH = {
    "queries": Limit(1, 64, "queries"),
    "k": Limit(1, 2000),
    "ef_search": Limit(0, 10_000),
    "exclude_labels": Limit(0, 1000, "labels"),
    "allowed_labels": Limit(0, 2_097_152, "bytes"),
}

LIMITS: Mapping[str, Mapping[str, Limit]] = MappingProxyType(
    {
        "RecommendRequest": _RECOMMEND,
        "RankRequest": _RANK,
        "LogEventsRequest": {"events": Limit(1, 1000, "events")},
        "Event": _EVENT,
        "SearchRequest": _SEARCH,
        "UpsertRequest": {"labels": _NUM_LABELS},
        "DeleteRequest": {"labels": _NUM_LABELS},
        "LookupRequest": {"table": _ID, "keys": Limit(1, 10_000, "keys")},
        "ForceTierRequest": {"reason": _ID},
        "SetLadderRequest": {"reason": _ID},
        "PollReleasesRequest": {"reason": _ID},
    }
)
"""Limits by message and field."""
