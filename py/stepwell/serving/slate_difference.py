"""How much two slates of one request differ: a pure comparison."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShownItems:
    """A slate top to bottom: n ids, each once, and their n scores."""

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SlateDifference:
    """Figures of two slates; nan where fewer than two items, or none, are in both.

    Attributes:
        overlap: items in both, as a share of the longer slate; 1 when both are empty.
        rank_correlation: Spearman's, of the items in both.
        score_gap: mean absolute difference of their scores.
    """

    overlap: float
    rank_correlation: float
    score_gap: float


def difference_of(one: ShownItems, other: ShownItems) -> SlateDifference:
    """Returns how much two slates differ. Cost: about 1 us an item."""
    places = {item_id: place for place, item_id in enumerate(other.item_ids)}
    pairs = [
        (place, places[item_id])
        for place, item_id in enumerate(one.item_ids)
        if item_id in places
    ]
    longer = max(len(one.item_ids), len(other.item_ids))
    gaps = [abs(one.scores[a] - other.scores[b]) for a, b in pairs]
    return SlateDifference(
        overlap=len(pairs) / longer if longer else 1.0,
        rank_correlation=_spearman([b for _, b in pairs]),
        score_gap=sum(gaps) / len(gaps) if gaps else math.nan,
    )


def _spearman(places: list[int]) -> float:
    """Of items in the order of one slate, by their places in the other."""
    number = len(places)
    if number < 2:
        return math.nan
    rank = {place: number_of for number_of, place in enumerate(sorted(places))}
    squares = sum((own - rank[place]) ** 2 for own, place in enumerate(places))
    return 1.0 - 6.0 * squares / (number * (number * number - 1))
