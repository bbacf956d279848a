"""Fusion against its definition: sort everything by its summed say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.rank_fusion import FusedList, fuse_ranks

NONE = np.zeros(0, np.int64)


def _list(rows: list[int], weight: float = 1.0, quota: int = 0) -> FusedList:
    scores = np.linspace(1.0, 0.5, len(rows), dtype=np.float32)
    return FusedList(np.array(rows, np.int64), scores, weight, quota)


def _defined(lists: list[FusedList], kept: int, excluded: set[int]) -> list[int]:
    worth: dict[int, float] = {}
    reserved: set[int] = set()
    for one in lists:
        rows = one.rows.tolist()
        for rank, row in enumerate(rows):
            worth[row] = worth.get(row, 0.0) + one.weight / (10.0 + rank)
        head = [row for row in rows if row not in excluded][: one.quota]
        fresh = [row for row in head if row not in reserved]
        reserved.update(fresh[: kept - len(reserved)])
    order = sorted(worth.keys() - excluded, key=lambda row: (-worth[row], row))
    rest = [row for row in order if row not in reserved]
    chosen = reserved | set(rest[: kept - len(reserved)])
    return [row for row in order if row in chosen]


ROWS = st.lists(st.integers(0, 60), max_size=40, unique=True)
LISTS = st.lists(
    st.builds(_list, ROWS, st.sampled_from([0.0, 0.1, 1.0, 2.0]), st.integers(0, 9)),
    max_size=5,
)


@settings(max_examples=150)
@given(LISTS, st.integers(0, 50), st.sets(st.integers(-1, 60), max_size=20))
def test_fusion_is_its_definition(
    lists: list[FusedList], kept: int, excluded: set[int]
) -> None:
    removed = np.array(sorted(excluded), np.int64)
    rows, scores, ranks = fuse_ranks(lists, 10.0, kept, removed)
    assert rows.tolist() == _defined(lists, kept, excluded)
    assert scores.shape == ranks.shape == (len(rows), len(lists))
    for column, one in enumerate(lists):
        places = {row: rank for rank, row in enumerate(one.rows.tolist())}
        want = [places.get(row, -1) for row in rows.tolist()]
        assert ranks[:, column].tolist() == want
        told = [one.scores[rank] if rank >= 0 else 0.0 for rank in want]
        assert scores[:, column].tolist() == told


def test_rows_far_apart_do_not_share_a_place() -> None:
    far = [0, 1 << 40, 1 << 61, 5]
    rows, _, _ = fuse_ranks([_list(far)], 1.0, 4, NONE)
    assert rows.tolist() == far


def test_a_row_below_zero_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="rows is -3"):
        fuse_ranks([_list([4, -3])], 1.0, 4, NONE)


def test_scores_of_another_length_are_refused() -> None:
    short = FusedList(np.arange(3), np.ones(2, np.float32), 1.0, 0)
    with pytest.raises(InvalidArgumentError, match="scores has shape"):
        fuse_ranks([short], 1.0, 4, NONE)
