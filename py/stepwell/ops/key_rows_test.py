"""Lookup of keys, wherever they lie in the 64 bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.key_rows import KeyRows

# Small, large, and anywhere: hashes are spread evenly, other keys need not be.
KEYS = st.one_of(
    st.integers(0, 30),
    st.integers((1 << 64) - 30, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
)


@settings(max_examples=150)
@given(st.lists(KEYS, max_size=70, unique=True), st.lists(KEYS, max_size=30))
def test_finds_what_is_there_and_nothing_else(
    known: list[int], more: list[int]
) -> None:
    order = sorted(range(len(known)), key=known.__getitem__)
    keys = np.array([known[i] for i in order], np.uint64)
    table = KeyRows(keys, np.array(order, np.int64))
    wanted = [*known, *more]
    want = [known.index(key) if key in known else -1 for key in wanted]
    assert table.find(np.array(wanted, np.uint64)).tolist() == want


def test_wanted_keys_may_lie_at_odd_addresses() -> None:
    table = KeyRows(np.array([5, 9], np.uint64), np.array([1, 0]))
    blob = b"x" + np.array([9, 5, 4], np.uint64).tobytes()
    assert table.find(np.frombuffer(blob, np.uint64, 3, 1)).tolist() == [0, 1, -1]


def test_other_types_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="sorted_keys is int64"):
        KeyRows(np.array([5]), np.array([0]))
    table = KeyRows(np.array([5], np.uint64), np.array([0]))
    with pytest.raises(InvalidArgumentError, match="keys is int64"):
        table.find(np.array([5]))
