"""Predicates against numpy, and what a search does with their sets."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.index.ann_index import FlatIndex
from stepwell.index.item_filter import (
    AllOf,
    AnyOf,
    EitherOf,
    InRange,
    ItemAttributes,
    Not,
    Predicate,
    any_of,
    id_set,
    in_range,
)

N = 3_000
RNG = np.random.default_rng(5)
CATEGORY = RNG.integers(0, 12, N)
COUNTRIES = [sorted(set(RNG.integers(0, 40, RNG.integers(0, 4)))) for _ in range(N)]
PRICE = np.where(RNG.random(N) < 0.1, np.nan, RNG.integers(0, 500, N) / 10)


def make_attributes() -> ItemAttributes:
    return ItemAttributes(
        N,
        tags={"category": CATEGORY, "country": COUNTRIES},
        ranges={"price": PRICE},
    )


ATTRIBUTES = make_attributes()


def plain(predicate: Predicate) -> npt.NDArray[np.bool_]:
    """Bool [N], evaluated item by item."""
    match predicate:
        case AnyOf("category", tags):
            return np.array(np.isin(CATEGORY, tags))
        case AnyOf(_, tags):
            return np.array([not set(tags).isdisjoint(row) for row in COUNTRIES])
        case InRange(_, low, high):
            return (low <= PRICE) & (high >= PRICE)
        case Not(operand):
            return ~plain(operand)
        case AllOf(operands):
            return np.array(np.all([plain(each) for each in operands], axis=0))
        case EitherOf(operands):
            return np.array(np.any([plain(each) for each in operands], axis=0))
    raise AssertionError(predicate)


TAGS = st.lists(st.integers(0, 45), max_size=4)
LEAVES = st.one_of(
    st.builds(any_of, st.sampled_from(["category", "country"]), TAGS),
    st.tuples(st.floats(-5, 55), st.floats(0, 60)).map(
        lambda ends: in_range("price", ends[0], ends[0] + ends[1])
    ),
)
PREDICATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda each: ~each),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(PREDICATES)
def test_compile_agrees_with_numpy(predicate: Predicate) -> None:
    found = ATTRIBUTES.compile(predicate)
    expected = np.flatnonzero(plain(predicate))
    np.testing.assert_array_equal(found.to_numpy(), expected)
    assert len(found) == len(expected)


@settings(max_examples=50)
@given(PREDICATES)
def test_an_estimate_stays_within_the_items(predicate: Predicate) -> None:
    assert 0 <= ATTRIBUTES.estimate_count(predicate) <= N


def test_one_leaf_is_estimated_exactly() -> None:
    for leaf in (any_of("category", [3, 4]), in_range("price", 3.0, 20.0)):
        assert ATTRIBUTES.estimate_count(leaf) == pytest.approx(plain(leaf).sum())


def test_items_that_are_set_move_in_later_compiles_only() -> None:
    attributes = make_attributes()
    sold_out = ~in_range("price")
    before = attributes.compile(sold_out)
    attributes.set_range("price", [1, 2], [math.nan, 9.9])
    attributes.set_tags("country", [1, 2], [[39, 39], []])
    assert 1 in attributes.compile(sold_out)
    assert 2 in attributes.compile(in_range("price", 9.9, 9.9))
    assert 1 in attributes.compile(any_of("country", [39]))
    assert 2 not in attributes.compile(any_of("country", range(40)))
    np.testing.assert_array_equal(before.to_numpy(), np.flatnonzero(np.isnan(PRICE)))


def test_grown_items_have_nothing() -> None:
    attributes = make_attributes()
    attributes.grow(N + 10)
    assert attributes.num_items == N + 10
    assert N + 9 in attributes.compile(~in_range("price"))
    attributes.set_tags("category", [N + 9], [11])
    assert N + 9 in attributes.compile(any_of("category", [11]))


def test_a_chain_as_long_as_a_user_history_compiles() -> None:
    predicate: Predicate = any_of("category", [0])
    for tag in range(3_000):
        predicate = predicate | any_of("country", [tag])
    assert len(ATTRIBUTES.compile(predicate)) > N / 2


def test_a_search_returns_only_items_of_the_set() -> None:
    vectors = RNG.standard_normal((N, 8)).astype(np.float32)
    index = FlatIndex.build(vectors, np.arange(N))
    allowed = ATTRIBUTES.compile(any_of("category", [3]) & in_range("price", high=2.0))
    assert 0 < len(allowed) < 50
    result = index.search(vectors[:5], 50, allowed=allowed)
    for ids, count in zip(result.ids, result.counts, strict=True):
        assert set(ids[:count]) == set(allowed.to_numpy())


def test_sets_combine() -> None:
    a, b = id_set([1, 2, 3, 3], 10), id_set([3, 100], 200)
    assert (a & b).to_numpy().tolist() == [3]
    assert (a | b).to_numpy().tolist() == [1, 2, 3, 100]
    assert (a - b).to_numpy().tolist() == [1, 2]
    assert len(a) == 3 and (a | b).num_ids == 200 and -1 not in a and 300 not in b


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: any_of("category", [-1]), ["category", "-1"]),
        (lambda: any_of("category", [2**32]), ["category", str(2**32)]),
        (lambda: any_of("category", [1.5]), ["category", "1.5"]),  # type: ignore[list-item]
        (lambda: any_of("category", "12"), ["category", "'1'"]),  # type: ignore[arg-type]
        (lambda: in_range("price", 5, 1), ["price", "[5, 1]"]),
        (lambda: in_range("price", math.nan, 1), ["price", "nan"]),
        (lambda: ATTRIBUTES.compile(any_of("colour", [1])), ["colour", "category"]),
        (lambda: ATTRIBUTES.compile(any_of("price", [1])), ["price"]),
        (lambda: ATTRIBUTES.compile(in_range("category", 1)), ["category"]),
        (lambda: ATTRIBUTES.compile("price < 3"), ["str"]),  # type: ignore[arg-type]
        (lambda: any_of("a", [1]) & 3, ["int"]),  # type: ignore[operator]
        (lambda: any_of("a", [1]) and any_of("b", [1]), ["truth value"]),
        (lambda: ItemAttributes(2, tags={"t": [1]}), ["t", "2"]),
        (lambda: ItemAttributes(1, tags={"t": [[-3]]}), ["t", "-3"]),
        (lambda: ItemAttributes(1, tags={"t": [1.5]}), ["t", "float64"]),
        (lambda: ItemAttributes(2, ranges={"r": [1.0]}), ["r", "2"]),
        (lambda: ItemAttributes(1, ranges={"r": ["x"]}), ["r"]),
        (lambda: ItemAttributes(-1), ["num_items", "-1"]),
        (lambda: ATTRIBUTES.set_range("price", [N], [1.0]), [str(N)]),
        (lambda: id_set([10], 10), ["10"]),
    ],
)
def test_an_error_names_what_is_wrong(make: object, names: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        make()  # type: ignore[operator]
    for name in names:
        assert name in str(raised.value)
