"""The arithmetic of the retrieval benchmark, and one quick run of the engines."""

import numpy as np
import pytest

from bench.retrieval import _rate_at, _recall, _row
from bench.retrieval_engines import ENGINES


def test_rate_is_interpolated_between_the_widths_around_a_recall() -> None:
    rate = _rate_at(0.95, [0.90, 1.00], [400.0, 100.0])
    assert rate == pytest.approx(200.0)


def test_a_recall_that_is_never_reached_has_no_rate() -> None:
    assert _rate_at(0.99, [0.5, 0.9], [400.0, 100.0]) == 0.0


def test_a_narrower_width_that_reaches_it_counts_whole() -> None:
    assert _rate_at(0.95, [0.97, 0.99], [400.0, 100.0]) == 400.0


def test_recall_counts_hits_in_any_order() -> None:
    found = np.array([[3, 1, 9], [4, 5, 6]])
    truth = np.array([[1, 2, 3], [6, 5, 4]])
    assert _recall(found, truth) == pytest.approx(5 / 6)


def test_a_row_that_is_slower_than_a_peer_does_not_hold() -> None:
    figures = {"stepwell": 2.0, "hnswlib": 1.0, "faiss": 3.0}
    row = _row("work", "us", figures, lower_is_better=True, bar=1.0)
    assert (row["ratio"], row["holds"]) == (0.5, False)
    assert row["peers"] == {"hnswlib": 1.0, "faiss": 3.0}


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_finds_the_items_themselves(name: str) -> None:
    vectors = np.random.default_rng(1).normal(size=(400, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = ENGINES[name](vectors, 16, 100)(vectors, 1, 64)
    assert np.mean(found[:, 0] == np.arange(400)) > 0.99
