"""Journeys against a client that notes what it is handed."""

from collections.abc import Iterable
from random import Random
from typing import cast

import pytest

from journeys import Visitor
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Event, Recommendation, ServedBy, Tier

SERVED_BY = ServedBy(Tier.FULL, (), 1.0, "v000001", "", {}, 0, 0, {}, (), None, 0)


class _Shop:
    """Shows one item and keeps the events."""

    def __init__(self, learns: bool = True) -> None:
        self.events: list[Event] = []
        self._learns = learns

    def recommend(self, user_id: str, num_items: int, surface: str) -> Answer:
        score = 1.0 + len(self.events) * self._learns
        items = (Recommendation("milk", score, ""),)
        return Answer("r1", items, SERVED_BY)

    def log_events(self, events: Iterable[Event]) -> None:
        self.events += events


def test_a_second_run_of_the_same_seed_logs_events_of_its_own() -> None:
    shop = _Shop()
    for _ in range(2):
        Visitor(cast(RecommendClient, shop), "ann", Random(1)).click()
    first, second = shop.events
    assert first.item_id == second.item_id
    assert first.event_id != second.event_id


@pytest.mark.parametrize("learns", [True, False])
def test_who_comes_back_sees_whether_the_click_mattered(learns: bool) -> None:
    visitor = Visitor(cast(RecommendClient, _Shop(learns)), "ann", Random(1))
    visitor.browse()
    visitor.come_back()
    assert (visitor.num_returns, visitor.num_felt) == (0, 0)
    visitor.click()
    visitor.come_back()
    visitor.come_back()
    assert (visitor.num_returns, visitor.num_felt) == (1, int(learns))
