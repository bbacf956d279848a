"""What users do, as training imports it and the event log keeps it."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from stepwell.base.errors import DataLossError


class EventType(enum.IntEnum):
    """Kinds of events; the numbers are those of stepwell_pb.v1.EventType."""

    IMPRESSION = 1
    CLICK = 2
    ADD_TO_CART = 3
    PURCHASE = 4
    RATING = 5
    DISMISS = 6

    @classmethod
    def named(cls, name: str) -> "EventType":
        """Returns the type of a lower-case name such as "purchase"; ValueError else."""
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(member.name.lower() for member in cls)
            raise ValueError(
                f"event_type is {name!r}, must be one of: {known}"
            ) from None


HISTORY_EVENT_TYPES = frozenset(
    {EventType.CLICK, EventType.ADD_TO_CART, EventType.PURCHASE, EventType.RATING}
)
"""Positive feedback: the events that may enter a user's history."""

HISTORY_MODEL = "user_history"
"""The entry of a release's models that says which of them did, in training."""


def history_config(types: Iterable[int]) -> dict[str, JsonValue]:
    """Returns the release's entry for data that holds events of these types."""
    held = frozenset(types)
    names = sorted(kind.name.lower() for kind in HISTORY_EVENT_TYPES if kind in held)
    return {"event_types": [*names]}


def history_types_of(models: Mapping[str, object]) -> frozenset[EventType]:
    """Returns the types that a release's models know as history.

    A model trained on purchases knows counts of purchases: a click that raised one
    would be a number it never saw the like of.

    Args:
        models: of the release's metadata; without the entry, all of positive feedback.
    Raises:
        DataLossError: the entry is none that training writes.
    """
    config = models.get(HISTORY_MODEL)
    if config is None:
        return HISTORY_EVENT_TYPES
    names = config.get("event_types") if isinstance(config, dict) else None
    known = {kind.name.lower(): kind for kind in HISTORY_EVENT_TYPES}
    # A tuple of what is known: a name may be anything that JSON can say.
    words = tuple(known)
    if not isinstance(names, list) or not names or any(n not in words for n in names):
        raise DataLossError(
            f"models.{HISTORY_MODEL} is {config!r}, must name event_types among: "
            f"{', '.join(sorted(known))}"
        )
    return frozenset(known[name] for name in names)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one user on one item.

    Attributes:
        event_id: unique per producer; a repeated id is the same event.
        event_time: unix seconds when it happened, not when it arrived.
        value: money or rating, >= 0; 0 where there is none.
        request_id: the answer it reacts to, "" where unknown.
        position: 0-based place in that answer, -1 where unknown.
    """

    event_id: str
    user_id: str
    item_id: str
    event_type: EventType
    event_time: int
    value: float = 0.0
    request_id: str = ""
    position: int = -1
