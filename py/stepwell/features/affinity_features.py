"""How much the user is at home in each candidate's categories."""

import numpy as np
import numpy.typing as npt

from stepwell.features.catalogue import AFFINITY_FEATURE_COUNT, FAR_DAYS
from stepwell.features.history_columns import HistoryColumns
from stepwell.features.item_columns import ItemColumns
from stepwell.schema.vocabulary import RowArray

FloatArray = npt.NDArray[np.float32]


def affinity_features(
    history: HistoryColumns,
    items: ItemColumns,
    column: str,
    rows: RowArray,
    own_recent: FloatArray,
) -> FloatArray:
    """Returns float32 [AFFINITY_FEATURE_COUNT, N], the catalogue's order.

    Args:
        history: the user's H known items.
        items: columns of the release.
        column: an affinity column of the catalogue.
        rows: int64 [N], candidates.
        own_recent: float32 [N], the feature of that name.
    Cost: O(H + N + C) for C categories, about 60 us at H = 250, N = 500, C = 2,400.
    """
    codes, size = items.categories[column], items.category_sizes[column]
    of_history, of_candidate = codes[history.rows], codes[rows]
    recent = np.bincount(of_history, history.recent, size)[of_candidate]
    distinct = np.bincount(of_history, minlength=size)[of_candidate]
    count = np.bincount(of_history, history.counts, size)[of_candidate]
    value = np.bincount(of_history, history.values, size)[of_candidate]
    idle = np.full(size, FAR_DAYS, np.float32)
    # Most recent first: written backwards, the most recent stays.
    idle[of_history[::-1]] = history.idle_days[::-1]
    out = np.empty((AFFINITY_FEATURE_COUNT, len(rows)), np.float32)
    out[0] = recent
    out[1] = distinct
    out[2] = count
    out[3] = np.minimum(idle[of_candidate], FAR_DAYS)
    out[4] = own_recent / np.maximum(recent, 1e-3)
    out[5] = distinct / np.maximum(count, 1.0)
    out[6] = recent / history.total_recent
    out[7] = log_ratio(items.prices[rows], value / np.maximum(count, 1.0), count > 0)
    out[8] = items.category_shares[column][rows]
    return out


def log_ratio(
    price: FloatArray,
    usual: npt.NDArray[np.float64] | float,
    known: npt.NDArray[np.bool_] | bool,
) -> FloatArray:
    """Returns float32 [N]: log of price over the usual one, 0 where that is unknown."""
    ratio = np.log((price + 0.1) / (np.asarray(usual) + 0.1))
    return np.where(known, ratio, 0.0).astype(np.float32)
