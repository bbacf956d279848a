"""New items come by the user's categories; who is new himself gets the newest order."""

from dataclasses import replace

import numpy as np

from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.retrieval.conftest import NUM_ITEMS, World, make_lists
from stepwell.retrieval.new_items_source import NewItemsSource
from stepwell.retrieval.popular_lists import PopularLists

NEW = (110, 105, 111, 104)
"""Two of an even category, two of an odd one, the most bought first."""

BY_PARITY = CategoryAffinity.of_buyers(
    np.arange(NUM_ITEMS, dtype=np.int32) % 2, np.ones(NUM_ITEMS, np.int64), 0.5
)


def lists(*rows: int) -> PopularLists:
    return replace(make_lists(), new_rows=np.array(rows, np.int32))


def found(
    world: World, source: NewItemsSource, *rows: int, limit: int = 9
) -> list[int]:
    user = world.user(rows)
    result = source.retrieve(world.query(), user, world.request(limit))
    return [int(row) for row in result.rows]


def test_new_items_of_the_users_categories_come_first(world: World) -> None:
    source = NewItemsSource(lists(*NEW), BY_PARITY)
    assert found(world, source, 3, 5) == [105, 111, 110, 104]
    assert found(world, source, 2, 4) == [110, 104, 105, 111]
    assert found(world, source, 2, 4, 6, 3, limit=3) == [110, 104, 105]


def test_a_new_user_gets_them_in_the_releases_order(world: World) -> None:
    source = NewItemsSource(lists(*NEW), BY_PARITY)
    assert found(world, source) == list(NEW)
    assert found(world, source, -1) == list(NEW), "nothing of the history is known here"


def test_without_categories_the_releases_order_stands(world: World) -> None:
    assert found(world, NewItemsSource(lists(*NEW), None), 3, 5) == list(NEW)


def test_a_release_without_new_items_has_none(world: World) -> None:
    assert found(world, NewItemsSource(lists(), BY_PARITY), 3) == []
