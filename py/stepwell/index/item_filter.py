"""Filters: what is known about items, and the set of those that fulfil a condition.

    attributes = ItemAttributes(
        num_items, tags={"category": categories}, ranges={"price": prices})
    cheap_books = any_of("category", [3]) & in_range("price", 0.0, 20.0)
    allowed = attributes.compile(cheap_books)       # an IdSet
    index.search(queries, k, allowed=allowed)

Items are the ids 0 .. num_items - 1 of the index. Letters: N items, T tags.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError
from stepwell.index.extension import load_extension

Ids = npt.NDArray[np.int64]
# One tag an item, or any number of tags for each.
Tags = npt.ArrayLike | Sequence[Sequence[int]]
Token = tuple[Any, ...]

MAX_TAG = 2**32 - 1


class Predicate:
    """A condition on one item; combine with & (and), | (or), ~ (not).

    Immutable. Python binds these operators tighter than comparisons and in the order
    ~, &, |.
    """

    __slots__ = ()

    def __and__(self, other: "Predicate") -> "Predicate":
        return AllOf((*_operands(self, AllOf), *_operands(other, AllOf)))

    def __or__(self, other: "Predicate") -> "Predicate":
        return EitherOf((*_operands(self, EitherOf), *_operands(other, EitherOf)))

    def __invert__(self) -> "Predicate":
        return self.operand if isinstance(self, Not) else Not(self)

    def __bool__(self) -> bool:
        """Refuses `a and b`, which Python would read as b.

        Raises:
            InvalidArgumentError: always.
        """
        raise InvalidArgumentError(
            "a predicate has no truth value: combine with &, |, ~", "predicate"
        )


@dataclass(frozen=True, slots=True)
class AnyOf(Predicate):
    """True for items that carry one of the tags; for no item without tags."""

    column: str
    tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InRange(Predicate):
    """True for items with low <= value <= high; never for items without a value."""

    column: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AllOf(Predicate):
    """True where all operands are, of which there are at least two."""

    operands: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class EitherOf(Predicate):
    """True where one of the operands is, of which there are at least two."""

    operands: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """True where the operand is not."""

    operand: Predicate


def any_of(column: str, tags: Iterable[int]) -> AnyOf:
    """Items that carry at least one of the tags in a tag column.

    A tag that no item carries is no error: the last one may just have been sold.

    Raises:
        InvalidArgumentError: a tag that is no whole number or outside 0 .. 2^32 - 1;
            names column and tag.
    """
    numbers = tuple(_whole_tag(column, tag) for tag in tags)
    for tag in numbers:
        if not 0 <= tag <= MAX_TAG:
            raise InvalidArgumentError(
                f"tag {tag} of column '{column}' must be in 0..{MAX_TAG}", column
            )
    return AnyOf(column, numbers)


def _whole_tag(column: str, tag: SupportsIndex) -> int:
    """The tag as an int; one that had to be rounded is a mistake of the caller."""
    try:
        return operator.index(tag)
    except TypeError as error:
        text = f"tag {tag!r} of column '{column}' must be a whole number"
        raise InvalidArgumentError(text, column) from error


def in_range(column: str, low: float = -np.inf, high: float = np.inf) -> InRange:
    """Items whose value in a range column is between two bounds, both included.

    Raises:
        InvalidArgumentError: a bound is NaN, or low > high; names column and range.
    """
    if not low <= high:
        raise InvalidArgumentError(
            f"range [{low}, {high}] of column '{column}' must have low <= high,"
            " neither NaN",
            column,
        )
    return InRange(column, float(low), float(high))


class IdSet(Protocol):
    """A set of ids 0 .. num_ids - 1, one bit each; made by C++, immutable.

    `a & b`, `a | b`, `a - b` are new sets over the larger num_ids. Take it as
    `allowed` of a search: nothing is copied or counted again.
    """

    @property
    def num_ids(self) -> int:
        """Ids past it are not in the set."""
        ...

    def __len__(self) -> int:
        """How many ids are in the set; O(1)."""
        ...

    def __contains__(self, item: int, /) -> bool: ...

    def __and__(self, other: Self, /) -> "IdSet": ...

    def __or__(self, other: Self, /) -> "IdSet": ...

    def __sub__(self, other: Self, /) -> "IdSet": ...

    def to_numpy(self) -> Ids:
        """The ids, int64 ascending."""
        ...


def id_set(ids: npt.ArrayLike, num_ids: int) -> IdSet:
    """The set of some ids, each in 0 .. num_ids - 1; repetitions count once.

    Raises:
        InvalidArgumentError: an id outside; names it.
    """
    made: IdSet = load_extension().IdSet.from_ids(_whole(ids, "ids"), num_ids)
    return made


class ItemAttributes:
    """Named columns over the items 0 .. num_items - 1.

    A tag column holds any number of tags (0 .. 2^32 - 1) an item: categories,
    countries, shops. A range column holds one float64 an item, or NaN for none: price,
    stock, age.

    Concurrency: every method may be called from any thread and runs without the GIL.
    A compile never waits for a set_* to be worked out and sees each column in one
    state; set_* calls run one by one. Memory: 8 bytes a tag of an item, 28 a value.
    """

    def __init__(
        self,
        num_items: int,
        *,
        tags: Mapping[str, Tags] | None = None,
        ranges: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        """Builds the columns.

        Args:
            num_items: N; ids from N on fulfil no predicate.
            tags: for each column ints [N], or N sequences of ints.
            ranges: for each column floats [N].
        Raises:
            InvalidArgumentError: a length that is not N, a tag out of range, a name
                twice; names the column.
        """
        self._native = load_extension().ItemAttributes(num_items)
        for column, lists in (tags or {}).items():
            self._native.add_tags(column, *_tag_lists(column, lists))
        for column, values in (ranges or {}).items():
            self._native.add_range(column, _floats(column, values))

    @property
    def num_items(self) -> int:
        """N."""
        return int(self._native.num_items)

    def compile(self, predicate: Predicate) -> IdSet:
        """Finds the items that fulfil a predicate, exactly.

        Raises:
            InvalidArgumentError: a column that is unknown or of the other kind.
        Cost: a few operations on N / 64 words a term; not on N items.
        """
        compiled: IdSet = self._native.compile(_tokens(predicate))
        return compiled

    def estimate_count(self, predicate: Predicate) -> float:
        """About how many items compile would find, without looking at any.

        Exact for one range and for one tag; combinations are counted as if their
        parts were independent. Raises as compile.
        """
        return float(self._native.estimate_count(_tokens(predicate)))

    def set_tags(self, column: str, ids: npt.ArrayLike, tags: Tags) -> None:
        """Replaces the tags of some items, seen as a whole by later compiles.

        Args:
            column: a tag column.
            ids: int [n], each below N and there once.
            tags: ints [n], or n sequences of ints.
        Raises:
            InvalidArgumentError: nothing is changed then.
        Cost: copies what is touched, so give many items at once.
        """
        self._native.set_tags(column, _whole(ids, "ids"), *_tag_lists(column, tags))

    def set_range(self, column: str, ids: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Replaces the values of some items; NaN takes one away. As set_tags."""
        self._native.set_range(column, _whole(ids, "ids"), _floats(column, values))

    def grow(self, num_items: int) -> None:
        """Makes room for ids below num_items, which have no tags and values yet."""
        self._native.grow(num_items)


def _operands(predicate: Predicate, kind: type[AllOf | EitherOf]) -> tuple[Any, ...]:
    """Keeps chains of one operator flat, however long."""
    if not isinstance(predicate, Predicate):
        raise InvalidArgumentError(
            f"a predicate combines with predicates, not {type(predicate).__name__}",
            "predicate",
        )
    return predicate.operands if isinstance(predicate, kind) else (predicate,)


def _tokens(predicate: Predicate) -> list[Token]:
    """The predicate in postfix order, as C++ evaluates it."""
    match predicate:
        case AnyOf(column, tags):
            return [("any_of", column, tags)]
        case InRange(column, low, high):
            return [("in_range", column, low, high)]
        case Not(operand):
            return [*_tokens(operand), ("not",)]
        case AllOf(operands):
            return _chain(operands, "and")
        case EitherOf(operands):
            return _chain(operands, "or")
    raise InvalidArgumentError(
        f"a predicate is made by any_of and in_range, not {type(predicate).__name__}",
        "predicate",
    )


def _chain(operands: tuple[Predicate, ...], operator: str) -> list[Token]:
    tokens = _tokens(operands[0])
    for operand in operands[1:]:
        tokens += _tokens(operand)
        tokens.append((operator,))
    return tokens


def _whole(values: npt.ArrayLike, field: str) -> Ids:
    """int64 of one dimension; a float is a mistake of the caller."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidArgumentError(
            f"{field} must be whole numbers of one dimension,"
            f" is {array.dtype} {list(array.shape)}",
            field,
        )
    return np.ascontiguousarray(array, np.int64)


def _floats(column: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "fiub"):
        raise InvalidArgumentError(
            f"column '{column}' must be numbers of one dimension,"
            f" is {array.dtype} {list(array.shape)}",
            column,
        )
    return np.ascontiguousarray(array, np.float64)


def _tag_lists(column: str, tags: Tags) -> tuple[Ids, npt.NDArray[np.uint32]]:
    """Offsets and tags: one a row for an array, else the rows end to end."""
    if isinstance(tags, np.ndarray) or all(np.isscalar(row) for row in _rows(tags)):
        flat = _whole(tags, column)
        offsets = np.arange(len(flat) + 1, dtype=np.int64)
    else:
        rows = [_whole(row, column) for row in _rows(tags)]
        flat = np.concatenate([np.empty(0, np.int64), *rows])
        offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    outside = (flat < 0) | (flat > MAX_TAG)
    if outside.any():
        raise InvalidArgumentError(
            f"tag {flat[outside][0]} of column '{column}' must be in 0..{MAX_TAG}",
            column,
        )
    return offsets, flat.astype(np.uint32)


def _rows(tags: Tags) -> Sequence[Any]:
    return tags if isinstance(tags, Sequence) else list(np.asarray(tags, object))
