"""The arithmetic of the retrieval benchmark."""

import numpy as np
import pytest

from bench.retrieval_figures import (
    OURS,
    Bar,
    Point,
    rate_at,
    recall_of,
    row,
    width_at,
    without_bars,
)

LINE = [Point(100, 0.90, 400.0), Point(200, 1.00, 100.0)]


def test_rate_is_interpolated_between_the_widths_around_a_recall() -> None:
    assert rate_at(0.95, LINE) == pytest.approx(200.0)


def test_a_recall_that_is_never_reached_has_no_rate() -> None:
    assert rate_at(0.99, [Point(10, 0.5, 400.0), Point(20, 0.9, 100.0)]) == 0.0


def test_a_narrower_width_that_reaches_it_counts_whole() -> None:
    line = [Point(10, 0.97, 400.0), Point(20, 0.99, 100.0)]
    assert rate_at(0.95, line) == 400.0


def test_width_lies_between_the_points_around_a_recall() -> None:
    assert width_at(0.95, LINE) == 150
    assert width_at(0.5, LINE) == 100
    assert width_at(0.999, LINE[:1]) == 100


def test_recall_counts_hits_in_any_order() -> None:
    found = np.array([[3, 1, 9], [4, 5, 6]])
    truth = np.array([[1, 2, 3], [6, 5, 4]])
    assert recall_of(found, truth) == pytest.approx(5 / 6)


def test_recall_looks_for_no_more_than_there_is() -> None:
    found = np.array([[7, -1, -1]])
    assert recall_of(found, np.array([[7, 8, -1]])) == 0.5
    assert recall_of(found, np.array([[-1, -1]])) == 1.0


def test_a_row_that_is_slower_than_a_peer_does_not_hold() -> None:
    figures = {OURS: 2.0, "hnswlib": 1.0, "faiss": 3.0}
    found = row("work", "us", figures, lower_is_better=True, bar=Bar(times=1.0))
    assert (found["ratio"], found["holds"]) == (0.5, False)
    assert found["peers"] == {"hnswlib": 1.0, "faiss": 3.0}


@pytest.mark.parametrize(("ours", "holds"), [(0.6, True), (0.61, False)])
def test_a_share_of_the_best_peer_is_its_own_limit(ours: float, holds: bool) -> None:
    figures = {OURS: ours, "hnswlib": 1.0, "faiss": 2.0}
    found = row("w", "MiB", figures, lower_is_better=True, bar=Bar(share=0.6))
    assert (found["bar"], found["holds"]) == ("<= 0.6x the best peer", holds)


def test_a_fast_answer_of_low_recall_does_not_hold() -> None:
    bar = Bar(limit=10.0, holds=False, also="recall >= 0.95")
    found = row("w", "ms", {OURS: 1.0}, lower_is_better=True, bar=bar)
    assert (found["bar"], found["holds"]) == ("<= 10 ms, recall >= 0.95", False)


def test_a_bar_over_peers_needs_a_peer() -> None:
    found = row("w", "QPS", {OURS: 9.0}, lower_is_better=False, bar=Bar(times=1.5))
    assert not found["holds"]
    assert without_bars([found])[0]["holds"]
