"""Which release should be live: a pure function of what exists and what was refused."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RolloutSnapshot:
    """What the decision depends on.

    Attributes:
        available: serials in the registry.
        live: serial of the live release, None when there is none.
        refused: serials that failed verification, building or warm-up here.
        pinned: the serial an operator chose, None for the newest.
    """

    available: Collection[int]
    live: int | None = None
    refused: Collection[int] = ()
    pinned: int | None = None


def serial_to_load(snapshot: RolloutSnapshot) -> int | None:
    """Returns the serial to load and make live, None to stay as it is.

    The pinned one, else the newest that was not refused. Never an older one than the
    live release unless it is pinned: a registry that lost its newest folder, or was
    rolled back by a file copy, does not move a server backwards.
    """
    usable = set(snapshot.available) - set(snapshot.refused)
    if snapshot.pinned is not None:
        wanted = snapshot.pinned if snapshot.pinned in usable else None
    else:
        newest = max(usable, default=None)
        is_older = newest is not None and newest < (snapshot.live or 0)
        wanted = None if is_older else newest
    return None if wanted == snapshot.live else wanted
