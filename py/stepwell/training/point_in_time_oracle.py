"""The point-in-time rule, read out aloud: slow, plain, and what the engines must give.

Every feature row of the entity is looked at for every question.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureVersion:
    """One feature row: which one, the time it speaks of, when it came to be."""

    place: int
    event_timestamp: int
    created_timestamp: int


@dataclass(frozen=True, slots=True)
class Question:
    """Who is asked for, when (unix seconds), and known when (unix microseconds)."""

    entity: str
    event_time: int
    ingestion_time_us: int


def by_entity(
    rows: Iterable[tuple[str, int, int]],
) -> dict[str, list[FeatureVersion]]:
    """Returns feature rows (entity, event, created) by entity; place is their order."""
    found: dict[str, list[FeatureVersion]] = defaultdict(list)
    for place, (entity, event, created) in enumerate(rows):
        found[entity].append(FeatureVersion(place, event, created))
    return found


def visible(
    versions: Mapping[str, Sequence[FeatureVersion]],
    question: Question,
    ttl_seconds: int = 0,
    check_ingestion: bool = True,
) -> FeatureVersion | None:
    """Returns the feature row that an answer to the question could have read.

    Cost: O(feature rows of the entity).
    """
    best: FeatureVersion | None = None
    for version in versions.get(question.entity, ()):
        if version.event_timestamp > question.event_time:
            continue  # it speaks of the future
        if check_ingestion and version.created_timestamp > question.ingestion_time_us:
            continue  # nobody knew it then
        if best is None or _order(version) > _order(best):
            best = version
    if best is None or not ttl_seconds:
        return best
    age = question.event_time - best.event_timestamp
    return best if age <= ttl_seconds else None


def _order(version: FeatureVersion) -> tuple[int, int]:
    return version.event_timestamp, version.created_timestamp
