"""The merge: one list out of many, the same each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.pipeline.candidate import SOURCE_NAMES, SourceResult
from stepwell.retrieval.merge import MergeOptions, merge

NONE = np.zeros(0, np.int64)


def _list(*rows: int) -> SourceResult:
    scores = np.linspace(1.0, 0.5, len(rows), dtype=np.float32)
    return SourceResult(np.array(rows, np.int64), scores)


def _options(**weights: float) -> MergeOptions:
    return MergeOptions(weights=weights, quotas={}, rank_offset=10.0)


def test_an_item_of_two_sources_stands_once_with_both_ranks() -> None:
    merged = merge(
        {"history": _list(5, 7), "ann": _list(9, 7)}, NONE, 10, MergeOptions()
    )
    assert sorted(merged.rows.tolist()) == [5, 7, 9]
    at = merged.rows.tolist().index(7)
    ranks = dict(zip(SOURCE_NAMES, merged.source_ranks[at].tolist(), strict=True))
    assert ranks == {
        "history": 1,
        "co_occurrence": -1,
        "ann": 1,
        "trending": -1,
        "popular": -1,
        "new_items": -1,
    }
    assert merged.source_scores[at].tolist() == [0.5, 0.0, 0.5, 0.0, 0.0, 0.0]


def test_agreement_of_sources_beats_a_better_rank() -> None:
    lists = {"ann": _list(1, 2), "popular": _list(3, 2)}
    merged = merge(lists, NONE, 3, _options(ann=1.0, popular=1.0))
    assert merged.rows.tolist() == [2, 1, 3]


def test_ties_go_to_the_lower_row() -> None:
    lists = {"ann": _list(8), "popular": _list(4)}
    merged = merge(lists, NONE, 2, _options(ann=1.0, popular=1.0))
    assert merged.rows.tolist() == [4, 8]


def test_excluded_rows_never_pass() -> None:
    lists = {"ann": _list(1, 2, 3)}
    merged = merge(lists, np.array([2, 77]), 10, MergeOptions())
    assert merged.rows.tolist() == [1, 3]


def test_a_quota_keeps_the_head_of_a_weak_source() -> None:
    lists = {"ann": _list(*range(20)), "trending": _list(90, 91, 92)}
    weights = {"ann": 1.0, "trending": 0.0}
    options = MergeOptions(weights=weights, quotas={"trending": 2})
    merged = merge(lists, NONE, 10, options)
    assert merged.rows.tolist() == [*range(8), 90, 91]
    without = merge(lists, NONE, 10, MergeOptions(weights=weights, quotas={}))
    assert without.rows.tolist() == list(range(10))


def test_a_quota_is_not_spent_on_excluded_items() -> None:
    lists = {"ann": _list(*range(20)), "trending": _list(90, 91, 92)}
    options = MergeOptions({"ann": 1.0}, {"trending": 1})
    merged = merge(lists, np.array([90]), 5, options)
    assert merged.rows.tolist() == [0, 1, 2, 3, 91]


def test_no_lists_give_no_candidates() -> None:
    assert len(merge({}, NONE, 10, MergeOptions())) == 0


def test_an_unknown_source_in_the_options_is_refused() -> None:
    with pytest.raises(ValueError, match="anm"):
        MergeOptions(weights={"anm": 1.0})


LISTS = st.dictionaries(
    st.sampled_from(SOURCE_NAMES),
    st.lists(st.integers(0, 60), max_size=40, unique=True),
)


@settings(max_examples=80)
@given(LISTS, st.sets(st.integers(0, 60), max_size=20), st.integers(1, 50))
def test_merge_keeps_its_promises(
    lists: dict[str, list[int]], excluded: set[int], limit: int
) -> None:
    results = {name: _list(*rows) for name, rows in lists.items()}
    merged = merge(results, np.array(sorted(excluded), np.int64), limit, MergeOptions())
    emitted = set().union(*lists.values()) - excluded if lists else set()
    rows = merged.rows.tolist()
    assert len(rows) == len(set(rows)) == min(limit, len(emitted))
    assert set(rows) <= emitted
    for position, row in enumerate(rows):
        for column, name in enumerate(SOURCE_NAMES):
            want = lists.get(name, []).index(row) if row in lists.get(name, []) else -1
            assert merged.source_ranks[position, column] == want
