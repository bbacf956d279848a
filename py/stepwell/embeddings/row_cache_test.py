import threading
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metric_names import EMBEDDING_CACHE_HITS, EMBEDDING_CACHE_MISSES
from stepwell.base.metrics import Metrics
from stepwell.embeddings.row_cache import RowCache


def keys_of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def rows_of(*numbers: float) -> np.ndarray:
    return np.array([[number, -number] for number in numbers], np.float32)


def test_returns_the_rows_it_was_given_and_leaves_the_others() -> None:
    metrics = Metrics()
    cache = RowCache(4, 2, metrics)
    cache.put(keys_of(1, 2), rows_of(1, 2))
    out = np.full((3, 2), 9, np.float32)
    assert cache.get(keys_of(2, 7, 1), out).tolist() == [True, False, True]
    assert out.tolist() == [[2, -2], [9, 9], [1, -1]]
    assert metrics.value(EMBEDDING_CACHE_HITS) == 2
    assert metrics.value(EMBEDDING_CACHE_MISSES) == 1


def test_a_row_that_was_used_stays_and_the_oldest_goes() -> None:
    cache = RowCache(2, 2, Metrics())
    cache.put(keys_of(1, 2), rows_of(1, 2))
    out = np.zeros((1, 2), np.float32)
    cache.get(keys_of(1), out)
    cache.put(keys_of(3), rows_of(3))
    found = cache.get(keys_of(1, 2, 3), np.zeros((3, 2), np.float32))
    assert found.tolist() == [True, False, True]
    assert len(cache) == 2


OPERATIONS = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=6)), max_size=40
)


@given(OPERATIONS, st.integers(1, 5))
def test_behaves_as_a_dictionary_that_forgets_the_least_recently_used(
    operations: list[tuple[bool, list[int]]], num_rows: int
) -> None:
    cache = RowCache(num_rows, 2, Metrics())
    model: OrderedDict[int, float] = OrderedDict()
    for step, (is_put, numbers) in enumerate(operations):
        if is_put:
            cache.put(keys_of(*numbers), rows_of(*[step] * len(numbers)).reshape(-1, 2))
            for number in numbers:
                model[number] = step
                model.move_to_end(number)
                if len(model) > num_rows:
                    model.popitem(last=False)
        else:
            out = np.full((len(numbers), 2), -1, np.float32)
            found = cache.get(keys_of(*numbers), out)
            assert found.tolist() == [number in model for number in numbers]
            assert out[:, 0].tolist() == [model.get(n, -1) for n in numbers]
            for number in numbers:
                if number in model:
                    model.move_to_end(number)
        assert len(cache) == len(model)


def test_concurrent_readers_never_see_a_row_of_another_key() -> None:
    cache = RowCache(8, 2, Metrics())
    wrong: list[int] = []

    def churn(seed: int) -> None:
        chance = np.random.default_rng(seed)
        for _ in range(200):
            numbers = chance.integers(1, 40, 4)
            keys = numbers.astype(np.uint64)
            out = np.zeros((4, 2), np.float32)
            found = cache.get(keys, out)
            wrong.extend(numbers[found][out[found, 0] != numbers[found]].tolist())
            cache.put(keys, rows_of(*numbers))

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(("num_rows", "dim"), [(0, 4), (10_000_001, 4), (4, 0)])
def test_a_size_out_of_range_is_refused(num_rows: int, dim: int) -> None:
    with pytest.raises(InvalidArgumentError, match="must be in"):
        RowCache(num_rows, dim, Metrics())
