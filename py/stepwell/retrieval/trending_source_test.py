"""Trending is the release's list until the log says that something else rises."""

from dataclasses import dataclass

import numpy as np

from stepwell.retrieval.conftest import World
from stepwell.retrieval.trending_source import Rising, TrendingSource


@dataclass
class Trends:
    """What rises, as told."""

    rising: Rising


def rising(rows: list[int], scores: list[float]) -> Rising:
    return np.array(rows, np.int64), np.array(scores, np.float32)


def test_without_a_log_it_is_the_releases_list(world: World) -> None:
    lists = world.artifacts.popular
    source = TrendingSource(lists)
    result = source.retrieve(world.query(), world.user(()), world.request(2))
    assert result.rows.tolist() == lists.trending_rows[:2].tolist()
    assert result.scores.tolist() == lists.trending_scores[:2].tolist()


def test_what_rises_now_stands_among_it_by_its_growth_and_once(world: World) -> None:
    lists = world.artifacts.popular
    known = lists.trending_rows.tolist()
    top = float(lists.trending_scores[0])
    trends = Trends(rising([7, known[-1]], [top + 2, top + 1]))
    source = TrendingSource(lists, trends)

    def ask(limit: int) -> list[int]:
        request = world.request(limit)
        result = source.retrieve(world.query(), world.user(()), request)
        assert (np.diff(result.scores) <= 0).all()
        rows: list[int] = result.rows.tolist()
        return rows

    assert ask(3) == [7, known[-1], known[0]]
    assert ask(100) == [7, known[-1], *known[:-1]]
    trends.rising = rising([], [])
    assert ask(100) == known
