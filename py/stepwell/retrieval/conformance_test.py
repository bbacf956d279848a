"""What every candidate source promises; one suite for all of them."""

import numpy as np
import pytest

from stepwell.base.errors import DeadlineExceededError
from stepwell.pipeline.candidate import SOURCE_NAMES
from stepwell.pipeline.stages import CandidateSource
from stepwell.retrieval.conftest import NUM_ITEMS, World

NEED_HISTORY = {"history", "co_occurrence", "ann"}
USERS = [(), (7,), (3, 8, 60), tuple(range(40)), (-1, 4), (-1,)]


def _sources(world: World) -> dict[str, CandidateSource]:
    return {source.name: source for source in world.artifacts.stage().sources}


def test_there_is_a_source_for_each_name(world: World) -> None:
    assert tuple(_sources(world)) == SOURCE_NAMES


@pytest.mark.parametrize("name", SOURCE_NAMES)
@pytest.mark.parametrize("rows", USERS)
@pytest.mark.parametrize("limit", [1, 5, 1_000])
def test_rows_are_unique_known_and_best_first(
    world: World, name: str, rows: tuple[int, ...], limit: int
) -> None:
    source = _sources(world)[name]
    result = source.retrieve(world.query(), world.user(rows), world.request(limit))
    assert result.rows.dtype == np.int64
    assert result.scores.dtype == np.float32
    assert len(result.rows) == len(result.scores) <= limit
    assert len(np.unique(result.rows)) == len(result.rows)
    assert ((result.rows >= 0) & (result.rows < NUM_ITEMS)).all()
    assert np.isfinite(result.scores).all()
    order = np.lexsort((result.rows, -result.scores))
    assert (order == np.arange(len(order))).all()


@pytest.mark.parametrize("name", SOURCE_NAMES)
def test_the_same_request_has_the_same_answer(world: World, name: str) -> None:
    source = _sources(world)[name]
    asked = world.query(), world.user((3, 8)), world.request(20)
    first, second = source.retrieve(*asked), source.retrieve(*asked)
    assert first.rows.tolist() == second.rows.tolist()


@pytest.mark.parametrize("name", SOURCE_NAMES)
def test_a_smaller_limit_is_a_prefix(world: World, name: str) -> None:
    source = _sources(world)[name]
    asked = world.query(), world.user((3, 8, 60))
    few = source.retrieve(*asked, world.request(4)).rows
    many = source.retrieve(*asked, world.request(12)).rows
    assert few.tolist() == many[: len(few)].tolist()


@pytest.mark.parametrize("name", SOURCE_NAMES)
def test_does_not_start_after_its_deadline(world: World, name: str) -> None:
    request = world.request(5, budget_us=10)
    world.clock.advance_us(11)
    with pytest.raises(DeadlineExceededError, match=name):
        _sources(world)[name].retrieve(world.query(), world.user((3,)), request)


@pytest.mark.parametrize("name", SOURCE_NAMES)
def test_a_user_without_history_is_no_error(world: World, name: str) -> None:
    source = _sources(world)[name]
    result = source.retrieve(world.query(), world.user(()), world.request(5))
    assert (len(result.rows) == 0) == (name in NEED_HISTORY)
