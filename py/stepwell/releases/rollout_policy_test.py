import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.releases.aliases import Aliases, Canary
from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.rollout_policy import (
    RolloutSnapshot,
    Wanted,
    wanted,
)

TRIAL = Canary(serial=3, share_ppm=50_000, salt="s", started_seconds=9)
ROUTE = CanaryRoute(3, 50_000, "s", started_seconds=9)
ALL = (1, 2, 3, 4)


def page(
    live: int,
    previous: int | None = None,
    pinned: int | None = None,
    canary: Canary | None = None,
) -> Aliases:
    return Aliases(
        revision=1, live=live, previous=previous, pinned=pinned, canary=canary
    )


def serial_to_load(snapshot: RolloutSnapshot) -> int | None:
    """What is to become live, None where nothing changes."""
    live = wanted(snapshot).live
    return None if live == snapshot.live else live


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (RolloutSnapshot([]), None),
        (RolloutSnapshot([3]), 3),
        (RolloutSnapshot([1, 2, 3]), 3),
        (RolloutSnapshot([1, 2, 3], live=3), None),
        (RolloutSnapshot([1, 2, 3], live=2), 3),
        # The newest was refused: the next one is good enough when nothing is live.
        (RolloutSnapshot([1, 2, 3], refused=[3]), 2),
        (RolloutSnapshot([1, 2, 3], live=2, refused=[3]), None),
        (RolloutSnapshot([2], refused=[2]), None),
        # Never backwards on its own.
        (RolloutSnapshot([1, 2], live=3), None),
        (RolloutSnapshot([1, 2, 3], live=3, refused=[]), None),
        # A pin goes anywhere, stays there, and never falls back to another.
        (RolloutSnapshot([1, 2, 3], live=3, aliases=page(3, pinned=1)), 1),
        (RolloutSnapshot([1, 2, 3], live=1, aliases=page(3, pinned=1)), None),
        (RolloutSnapshot([1, 2, 3], live=2, aliases=page(3, pinned=9)), None),
        (RolloutSnapshot([1, 2], live=2, refused=[1], aliases=page(2, pinned=1)), None),
    ],
)
def test_chooses_the_serial(snapshot: RolloutSnapshot, expected: int | None) -> None:
    assert serial_to_load(snapshot) == expected


SERIALS = st.sets(st.integers(1, 6))


@given(SERIALS, st.none() | st.integers(1, 6), SERIALS)
def test_only_loads_what_exists_was_not_refused_and_is_newer(
    available: set[int], live: int | None, refused: set[int]
) -> None:
    chosen = serial_to_load(RolloutSnapshot(available, live, refused))
    if chosen is not None:
        assert chosen in available - refused
        assert chosen > (live or 0)
        assert serial_to_load(RolloutSnapshot(available, chosen, refused)) is None


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        # The page says it, whatever is newest.
        (RolloutSnapshot(ALL, aliases=page(2)), Wanted(2)),
        (RolloutSnapshot(ALL, live=4, aliases=page(2, 1)), Wanted(2, None, 1)),
        (
            RolloutSnapshot(ALL, live=2, aliases=page(2, 1), keep_previous=False),
            Wanted(2),
        ),
        (
            RolloutSnapshot(ALL, live=2, aliases=page(2, 1, canary=TRIAL)),
            Wanted(2, ROUTE, 1),
        ),
        # Before there is a live one, the canary is known too.
        (RolloutSnapshot(ALL, aliases=page(2, 1, canary=TRIAL)), Wanted(2, ROUTE, 1)),
        # The named one was refused or is gone: stay, and the rest goes on.
        (
            RolloutSnapshot(ALL, live=2, refused=[4], aliases=page(4, 2)),
            Wanted(2),
        ),
        (RolloutSnapshot([1, 2], live=2, aliases=page(4, 1)), Wanted(2, None, 1)),
        # Nothing is live yet: the previous one, then the newest.
        (RolloutSnapshot(ALL, refused=[4], aliases=page(4, 2)), Wanted(2)),
        (RolloutSnapshot(ALL, refused=[4, 2], aliases=page(4, 2)), Wanted(3)),
        (RolloutSnapshot([], aliases=page(4, 2)), Wanted(None)),
        (RolloutSnapshot(ALL, refused=ALL, aliases=page(4, 2)), Wanted(None)),
        # Its folder went, it serves on.
        (RolloutSnapshot([1], live=2, aliases=page(2, 1)), Wanted(2, None, 1)),
        # A canary that was vetoed, refused, is gone or was promoted is none.
        (RolloutSnapshot(ALL, vetoed=[3], aliases=page(2, canary=TRIAL)), Wanted(2)),
        (RolloutSnapshot(ALL, refused=[3], aliases=page(2, canary=TRIAL)), Wanted(2)),
        (RolloutSnapshot([1, 2], aliases=page(2, canary=TRIAL)), Wanted(2)),
        (RolloutSnapshot(ALL, aliases=page(3, canary=TRIAL)), Wanted(3)),
        # A veto takes a canary down and nothing else.
        (RolloutSnapshot(ALL, vetoed=ALL, aliases=page(2, 1)), Wanted(2, None, 1)),
        # The canary is held as such, not as the previous one too.
        (
            RolloutSnapshot(ALL, aliases=page(2, 3, canary=TRIAL)),
            Wanted(2, ROUTE),
        ),
        # A pin: this one and no other.
        (
            RolloutSnapshot(ALL, live=2, aliases=page(2, 1, 4, TRIAL)),
            Wanted(4, None, 2),
        ),
        (
            RolloutSnapshot(ALL, live=2, refused=[4], aliases=page(3, 1, 4)),
            Wanted(2, None, 3),
        ),
        (RolloutSnapshot(ALL, refused=[4], aliases=page(3, 1, 4)), Wanted(None)),
    ],
)
def test_holds_what_the_page_says(snapshot: RolloutSnapshot, expected: Wanted) -> None:
    assert wanted(snapshot) == expected


SERIAL = st.integers(1, 6)
MAYBE = st.none() | SERIAL


@given(
    st.builds(
        RolloutSnapshot,
        available=SERIALS,
        live=MAYBE,
        refused=SERIALS,
        aliases=st.none() | st.builds(page, SERIAL, MAYBE, MAYBE, st.just(TRIAL)),
        vetoed=SERIALS,
    )
)
def test_holds_nothing_twice_and_nothing_that_cannot_be_used(
    snapshot: RolloutSnapshot,
) -> None:
    decision = wanted(snapshot)
    canary = decision.canary.serial if decision.canary is not None else None
    held = [s for s in (decision.live, canary, decision.standby) if s is not None]
    assert len(set(held)) == len(held)
    usable = set(snapshot.available) - set(snapshot.refused)
    assert set(held) <= usable | {snapshot.live}
    assert canary not in snapshot.vetoed
    # What is held already is never given up for nothing.
    assert (decision.live is not None) or snapshot.live is None
