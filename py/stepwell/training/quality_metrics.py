"""Quality of ranked lists, by the definitions of the project's protocol.

Recall@K is hits / targets, without a cap at K. NDCG@K has gain 1, discount
1 / log2(position + 1) from position 1, and its ideal is over min(K, targets). Averages
are over users; the standard error is that of the mean over users.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.schema.vocabulary import RowArray

NDCG_CUT = 10
RECALL_CUTS = (100, 500)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over U users and its standard error; both 0 for no users."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: Sequence[float] | FloatArray) -> "Mean":
        """Returns mean and error of one number a user."""
        array = np.asarray(values, np.float64)
        if not len(array):
            return cls(0.0, 0.0)
        spread = array.std(ddof=1) if len(array) > 1 else 0.0
        return cls(float(array.mean()), float(spread / np.sqrt(len(array))))


def ndcg(hits: npt.NDArray[np.bool_], num_targets: int, k: int = NDCG_CUT) -> float:
    """Returns NDCG@k of one list.

    Args:
        hits: bool [L], whether the item at each place is a target, best first.
        num_targets: all targets of the user, >= 1, also those not in the list.
        k: places that count.
    """
    discounts = 1.0 / np.log2(np.arange(k) + 2.0)
    gained = discounts[: len(hits[:k])] @ hits[:k]
    return float(gained / discounts[: min(k, num_targets)].sum())


def recall(hits: npt.NDArray[np.bool_], num_targets: int, k: int) -> float:
    """Returns hits among the first k over all targets, num_targets >= 1."""
    return float(hits[:k].sum() / num_targets)


@dataclass(frozen=True, slots=True)
class ListQuality:
    """Means over the users of one kind of target.

    Attributes:
        num_users, num_targets: users with at least one target, and all their targets.
        ndcg_at_10, recall_at_100, recall_at_500, hit_rate_at_10: means.
    """

    num_users: int
    num_targets: int
    ndcg_at_10: Mean
    recall_at_100: Mean
    recall_at_500: Mean
    hit_rate_at_10: Mean

    @classmethod
    def of(
        cls, lists: Sequence[RowArray], targets: Sequence[npt.NDArray[np.integer]]
    ) -> "ListQuality":
        """Scores lists against targets; users without targets do not count.

        Args:
            lists: of each user int64 [L], best first, unique.
            targets: of each user [T], unique.
        """
        per_user: list[tuple[float, ...]] = []
        num_targets = 0
        for rows, wanted in zip(lists, targets, strict=True):
            if not len(wanted):
                continue
            num_targets += len(wanted)
            hits = np.isin(rows, wanted)
            per_user.append(
                (
                    ndcg(hits, len(wanted)),
                    *(recall(hits, len(wanted), k) for k in RECALL_CUTS),
                    float(hits[:NDCG_CUT].any()),
                )
            )
        table = np.array(per_user, np.float64).reshape(-1, 4)
        means = [Mean.of(table[:, column]) for column in range(4)]
        return cls(len(table), num_targets, *means)


def coverage(lists: Sequence[RowArray], num_items: int, k: int = NDCG_CUT) -> float:
    """Returns the part of the N items that stands in at least one top-k, 0..1."""
    if not lists or not num_items:
        return 0.0
    shown = np.unique(np.concatenate([rows[:k] for rows in lists]))
    return len(shown) / num_items


def novelty(
    lists: Sequence[RowArray], num_buyers: FloatArray, num_users: int, k: int = NDCG_CUT
) -> float:
    """Returns mean self-information -log2(buyers / users) of the items of the top-k.

    Source: Zhou et al., PNAS 2010. Items without a buyer count as having one.
    """
    if not lists or not num_users:
        return 0.0
    shown = np.concatenate([rows[:k] for rows in lists])
    if not len(shown):
        return 0.0
    share = np.maximum(num_buyers[shown], 1.0) / num_users
    return float(-np.log2(np.minimum(share, 1.0)).mean())


def intra_list_diversity(
    lists: Sequence[RowArray], codes: npt.NDArray[np.integer], k: int = NDCG_CUT
) -> float:
    """Returns the mean part of pairs in a top-k that are of different categories."""
    parts = []
    for rows in lists:
        top = codes[rows[:k]]
        if len(top) < 2:
            continue
        _, counts = np.unique(top, return_counts=True)
        same = (counts * (counts - 1)).sum()
        parts.append(1.0 - same / (len(top) * (len(top) - 1)))
    return float(np.mean(parts)) if parts else 0.0


def exposure(
    lists: Sequence[RowArray], codes: npt.NDArray[np.integer], k: int = NDCG_CUT
) -> dict[int, float]:
    """Returns each category's part of all places of the top-k, by its code."""
    shown = [rows[:k] for rows in lists]
    total = sum(len(rows) for rows in shown)
    if not total:
        return {}
    values, counts = np.unique(codes[np.concatenate(shown)], return_counts=True)
    return {
        int(value): float(count / total)
        for value, count in zip(values, counts, strict=True)
    }


def calibration(predicted: FloatArray, observed: FloatArray) -> float:
    """Returns mean predicted / mean observed; 1 is calibrated, nan without a hit."""
    seen = float(np.mean(observed)) if len(observed) else 0.0
    return float(np.mean(predicted)) / seen if seen > 0 else float("nan")
