"""Which releases a server should hold: a pure function of what it knows."""

from collections.abc import Collection
from dataclasses import dataclass

from stepwell.releases.aliases import Aliases
from stepwell.releases.canary_route import CanaryRoute


@dataclass(frozen=True, slots=True)
class RolloutSnapshot:
    """What the decision depends on.

    Attributes:
        available: serials in the registry.
        live: serial of the live release, None when there is none.
        refused: serials that failed verification, building or warm-up here.
        aliases: the registry's page, None in a registry that has none.
        vetoed: serials that some server found bad as a canary.
        keep_previous: hold what may come next too: a rollback then needs no load.
    """

    available: Collection[int]
    live: int | None = None
    refused: Collection[int] = ()
    aliases: Aliases | None = None
    vetoed: Collection[int] = ()
    keep_previous: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server should hold.

    Attributes:
        live: answers; None while nothing can.
        canary: answers its users, or shadows the live one; None without one.
        standby: held and not asked; None for none.
    """

    live: int | None
    canary: CanaryRoute | None = None
    standby: int | None = None


def wanted(snapshot: RolloutSnapshot) -> Wanted:
    """Returns what the server should hold now.

    Live is the pinned release, else the one the page names, else, in a registry without
    a page, the newest. Where that one was refused or is gone, the live release stays;
    a server that has none yet takes the previous one, then the newest it can use. It
    never moves to an older release unless the page or a pin says so.
    """
    usable = frozenset(snapshot.available) - frozenset(snapshot.refused)
    aliases = snapshot.aliases
    pinned = aliases.pinned if aliases is not None else None
    live = _live(snapshot, usable, pinned)
    if aliases is None or live is None:
        return Wanted(live)
    # A pin says: this one and no other.
    canary = None if pinned is not None else _canary(snapshot, usable, live)
    # What may come without a load: after a pin its end, else a rollback.
    following = (aliases.live, aliases.previous) if snapshot.keep_previous else ()
    held = {live, canary.serial if canary is not None else None}
    spare = (serial for serial in following if serial in usable - held)
    return Wanted(live, canary, next(spare, None))


def _live(
    snapshot: RolloutSnapshot, usable: frozenset[int], pinned: int | None
) -> int | None:
    aliases, newest = snapshot.aliases, max(usable, default=None)
    named = pinned or (aliases.live if aliases is not None else None)
    if named is not None and (named in usable or named == snapshot.live):
        return named
    if pinned is not None or (aliases is not None and snapshot.live is not None):
        # Nothing else was asked for. With nothing live, a pin that cannot be followed
        # is better seen at once than served around.
        return snapshot.live
    if aliases is not None:
        return aliases.previous if aliases.previous in usable else newest
    is_newer = newest is not None and newest > (snapshot.live or 0)
    return newest if is_newer else snapshot.live


def _canary(
    snapshot: RolloutSnapshot, usable: frozenset[int], live: int
) -> CanaryRoute | None:
    canary = snapshot.aliases.canary if snapshot.aliases is not None else None
    if canary is None or canary.serial not in usable or canary.serial == live:
        return None
    if canary.serial in snapshot.vetoed:
        return None
    return CanaryRoute(
        canary.serial,
        canary.share_ppm,
        canary.salt,
        canary.is_shadow,
        canary.started_seconds,
    )
