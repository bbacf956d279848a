"""A bounded cache of embedding rows, least recently used out first."""

import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import check_range
from stepwell.base.metric_names import EMBEDDING_CACHE_HITS, EMBEDDING_CACHE_MISSES
from stepwell.base.metrics import Metrics
from stepwell.embeddings.shard_map import KeyArray

RowArray = npt.NDArray[np.float32]


class RowCache:
    """Rows of one table of one release, in one block of memory.

    A release's rows never change, so nothing expires: the cache is dropped with it.

    Args:
        num_rows: rows kept, 1 <= num_rows <= 10,000,000; allocated at once.
        dim: floats in a row.

    Concurrency: thread-safe, one lock. Cost: about 0.3 us a key.
    """

    def __init__(self, num_rows: int, dim: int, metrics: Metrics) -> None:
        check_range("num_rows", num_rows, 1, 10_000_000)
        check_range("dim", dim, 1, 4_096)
        self._rows = np.empty((num_rows, dim), np.float32)
        self._places: OrderedDict[int, int] = OrderedDict()  # oldest use first
        self._metrics = metrics
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, keys: KeyArray, out: RowArray) -> npt.NDArray[np.bool_]:
        """Copies the rows that are there into `out` float32 [N, dim].

        Returns:
            bool [N], True where the row was there; other rows of `out` stay as is.
        """
        places = np.full(len(keys), -1, np.int64)
        with self._lock:
            for position, key in enumerate(keys.tolist()):
                place = self._places.get(key)
                if place is not None:
                    places[position] = place
                    self._places.move_to_end(key)
            found = places >= 0
            # Copied under the lock: a put may reuse a place at once.
            out[found] = self._rows[places[found]]
        num_found = int(found.sum())
        self._metrics.add(EMBEDDING_CACHE_HITS, amount=num_found)
        self._metrics.add(EMBEDDING_CACHE_MISSES, amount=len(keys) - num_found)
        return found

    def put(self, keys: KeyArray, rows: RowArray) -> None:
        """Keeps rows float32 [N, dim]; of more than fit, the last ones."""
        with self._lock:
            for key, row in zip(keys.tolist(), rows, strict=True):
                self._rows[self._place_for(key)] = row
                self._places.move_to_end(key)

    def _place_for(self, key: int) -> int:
        place = self._places.get(key)
        if place is None:
            full = len(self._places) == len(self._rows)
            place = self._places.popitem(last=False)[1] if full else len(self._places)
            self._places[key] = place
        return place
