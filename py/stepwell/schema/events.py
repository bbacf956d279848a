"""What users do, as training imports it and the event log keeps it."""

import enum
from dataclasses import dataclass


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
"""Positive feedback: the events that enter a user's history."""


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
