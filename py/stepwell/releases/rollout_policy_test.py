import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.releases.rollout_policy import RolloutSnapshot, serial_to_load


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
        (RolloutSnapshot([1, 2, 3], live=3, pinned=1), 1),
        (RolloutSnapshot([1, 2, 3], live=1, pinned=1), None),
        (RolloutSnapshot([1, 2, 3], live=2, pinned=9), None),
        (RolloutSnapshot([1, 2], live=2, pinned=1, refused=[1]), None),
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
