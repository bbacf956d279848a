"""MMR against its definition, and its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.reranking.diversity import Diversity
from stepwell.reranking.item_traits import CategoricalColumn, ItemTraits, VectorArray


def _unit_vectors(num_items: int, seed: int, dim: int = 8) -> VectorArray:
    vectors = np.random.default_rng(seed).normal(size=(num_items, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def _oracle(
    scores: VectorArray, similarity: VectorArray, weight: float, num_kept: int
) -> list[int]:
    """MMR word for word: one candidate at a time, in float64."""
    width = scores.max() - scores.min()
    relevance = (scores - scores.min()) / width if width > 0 else np.zeros(len(scores))
    chosen: list[int] = []
    while len(chosen) < num_kept:
        margins = {
            i: (1 - weight) * float(relevance[i])
            - weight * max((float(similarity[i, j]) for j in chosen), default=0.0)
            for i in range(len(scores))
            if i not in chosen
        }
        chosen.append(max(margins, key=lambda i: (margins[i], -i)))
    return chosen


@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0])
def test_chooses_as_the_definition_says(weight: float) -> None:
    traits = ItemTraits(vectors=_unit_vectors(40, seed=3))
    rows = np.arange(40)
    scores = np.sort(np.random.default_rng(4).random(40))[::-1].astype(np.float32)
    order = Diversity(traits).order(rows, scores, weight, num_kept=12)
    similarity = traits.similarity(rows)
    assert similarity is not None
    expected = _oracle(scores.astype(np.float64), similarity, weight, 12)
    assert order[:12].tolist() == expected
    assert np.all(np.diff(order[12:]) > 0)


def test_separates_twins() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([1.0, 0.9, 0.5], np.float32)
    diversity = Diversity(ItemTraits(vectors=vectors))
    assert diversity.order(np.arange(3), scores, 0.6, 3).tolist() == [0, 2, 1]


def test_uses_categories_when_there_are_no_vectors() -> None:
    traits = ItemTraits(
        categories={"brand": CategoricalColumn(np.array([5, 5, 6, 0, 0]))}
    )
    scores = np.array([1.0, 0.9, 0.8, 0.7, 0.6], np.float32)
    order = Diversity(traits).order(np.arange(5), scores, 0.5, 5)
    assert order.tolist() == [0, 2, 3, 4, 1]


def test_keeps_the_order_when_nothing_is_known_of_the_items() -> None:
    scores = np.array([3.0, 2.0, 1.0], np.float32)
    assert Diversity(ItemTraits()).order(np.arange(3), scores, 0.9, 3).tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_score_or_vector_neither_raises_nor_wins(broken: float) -> None:
    vectors = _unit_vectors(4, seed=1)
    vectors[3] = np.nan
    scores = np.array([2.0, 1.5, 1.0, broken], np.float32)
    if np.isposinf(broken):
        scores = -scores
    order = Diversity(ItemTraits(vectors=vectors)).order(np.arange(4), scores, 0.2, 4)
    assert sorted(order.tolist()) == [0, 1, 2, 3]


@given(
    num_items=st.integers(0, 60),
    num_kept=st.integers(1, 60),
    weight=st.floats(0, 1),
    pool=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_every_position_comes_back_once(
    num_items: int, num_kept: int, weight: float, pool: int, seed: int
) -> None:
    diversity = Diversity(ItemTraits(vectors=_unit_vectors(num_items + 1, seed)), pool)
    scores = np.random.default_rng(seed).random(num_items).astype(np.float32)
    order = diversity.order(np.arange(num_items), scores, weight, num_kept)
    assert sorted(order.tolist()) == list(range(num_items))
    assert order[pool:].tolist() == list(range(num_items))[pool:]
