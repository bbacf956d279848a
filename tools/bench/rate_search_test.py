"""The search finds a server's limit, and a single bad step does not mislead it."""

import pytest

from bench.rate_search import MAX_STEPS, Search, highest_rate, take_turns


def found(search: Search, limit: float, bad_steps: tuple[int, ...] = ()) -> float:
    """Runs a search against a server that holds up to `limit`."""
    rate = next(search)
    for step in range(MAX_STEPS + 1):
        try:
            rate = search.send(rate <= limit and step not in bad_steps)
        except StopIteration as end:
            return float(end.value)
    raise AssertionError("the search has no end")


@pytest.mark.parametrize("limit", [8.0, 49.0, 130.0, 7_000.0])
def test_finds_a_limit_to_within_the_tolerance(limit: float) -> None:
    rate = found(highest_rate(50.0, tolerance=0.04), limit)
    assert limit / 1.04 <= rate <= limit


def test_one_bad_step_is_tried_again() -> None:
    assert found(highest_rate(50.0), 130.0, bad_steps=(1,)) >= 130.0 / 1.04


def test_a_bad_spell_at_the_start_does_not_end_the_search_low() -> None:
    assert found(highest_rate(50.0), 130.0, bad_steps=(0, 1, 2, 3)) >= 130.0 / 1.04


def test_gives_zero_where_nothing_holds() -> None:
    assert found(highest_rate(50.0), -1.0) == 0.0


def test_searches_take_turns_and_each_finds_its_own_limit() -> None:
    limits, asked = {"ours": 300.0, "theirs": 100.0}, []

    def holds(name: str, rate: float) -> bool:
        asked.append(name)
        return rate <= limits[name]

    rates = take_turns({name: highest_rate(50.0) for name in limits}, holds)
    assert asked[:4] == ["ours", "theirs", "ours", "theirs"]
    for name, limit in limits.items():
        assert limit / 1.04 <= rates[name] <= limit
