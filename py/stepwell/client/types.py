"""Answers and events as plain immutable values; nothing of the wire shows through."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class _WireEnum(enum.IntEnum):
    """Numbers of the wire. One that a newer server sends becomes UNSPECIFIED."""

    @classmethod
    def _missing_(cls, value: object) -> "_WireEnum | None":
        return cls(0) if isinstance(value, int) and value else None


class Tier(_WireEnum):
    """How much of the system an answer had the benefit of."""

    UNSPECIFIED = 0
    FULL = 1
    REDUCED = 2
    POPULAR = 3


class Reason(_WireEnum):
    """Why an answer is not a plain FULL one; common.proto says what each means."""

    UNSPECIFIED = 0
    BACKLOG = 1
    DEADLINE_HYDRATE = 2
    DEADLINE_RETRIEVAL = 3
    DEADLINE_FEATURES = 4
    DEADLINE_RANKING = 5
    DEADLINE_RERANKING = 6
    BREAKER_STORE = 7
    BREAKER_INDEX = 8
    BREAKER_EMBEDDINGS = 9
    STALE_FEATURES = 10
    MISSING_USER = 11
    SHARD_COVERAGE = 12
    PROBE = 13
    EXERCISE = 14
    FORCED = 15
    NO_RELEASE = 16


class Priority(_WireEnum):
    """Which request goes first when not all can be served in full."""

    UNSPECIFIED = 0
    INTERACTIVE = 1
    PREFETCH = 2
    BATCH = 3


class EventType(_WireEnum):
    """What a user did."""

    UNSPECIFIED = 0
    IMPRESSION = 1
    CLICK = 2
    ADD_TO_CART = 3
    PURCHASE = 4
    RATING = 5
    DISMISS = 6


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One item of an answer.

    Attributes:
        item_id: as the catalogue names it.
        score: the ranker's total; comparable within one answer only.
        name: for display, "" when the release has none.
        source_ranks: with explain, 0-based rank in each source that emitted it.
        objectives: with explain, the ranker's objectives by name.
    """

    item_id: str
    score: float
    name: str = ""
    source_ranks: Mapping[str, int] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServedBy:
    """What an answer was made of; recommend.proto says what each field means."""

    tier: Tier
    reasons: tuple[Reason, ...]
    coverage: float
    release_id: str
    index_id: str
    stage_us: Mapping[str, int]
    queue_us: int
    server_us: int
    feature_age_ms: Mapping[str, int]
    defaulted_features: tuple[str, ...]
    cached_slate_age_ms: int | None
    event_time_seconds: int
    writer_age_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A slate, best first, and how it came about.

    Attributes:
        request_id: names the answer; give it back with the events it led to.
        unknown_item_ids: of a rank call, candidates that the release does not know.
        num_attempts: calls this answer took, 1 unless a retry was needed.
    """

    request_id: str
    items: tuple[Recommendation, ...]
    served_by: ServedBy
    unknown_item_ids: tuple[str, ...] = ()
    num_attempts: int = 1


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did.

    Attributes:
        event_id: unique per producer: sending it twice stores it once.
        event_time_seconds: unix seconds; 0 is the server's now.
        value: money or rating, finite, >= 0.
        request_id: the answer it reacts to, "" when unknown.
        position: 0-based place in that answer, None when unknown.
    """

    event_id: str
    user_id: str
    item_id: str
    event_type: EventType
    event_time_seconds: int = 0
    value: float = 0.0
    request_id: str = ""
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch of events: all of them are on disk now."""

    num_stored: int
    num_duplicates: int
