"""The search finds a server's limit, and a single bad step does not mislead it."""

import pytest

from rate_search import (
    MAX_RATES,
    MAX_VOID_RUNS,
    Measure,
    SearchOptions,
    Verdict,
    found,
    highest_rate,
    take_turns,
)

WIDE = SearchOptions(growth=1.5, precision=1.06, lowest=1.0)
MAX_QUESTIONS = 3 * MAX_RATES


def server(
    limit: float, bad: tuple[int, ...] = (), void: tuple[int, ...] = ()
) -> Measure:
    """A server that holds up to `limit`; questions `bad` fail all the same."""
    asked = iter(range(MAX_QUESTIONS))

    def measure(rate: float) -> Verdict:
        number = next(asked)
        if number in void:
            return Verdict.VOID
        holds = rate <= limit and number not in bad
        return Verdict.HOLDS if holds else Verdict.FAILS

    return measure


@pytest.mark.parametrize("start", [1.5, 90.0, 100.0, 5_000.0])
@pytest.mark.parametrize("limit", [3.0, 100.0, 7_000.0])
@pytest.mark.parametrize("options", [SearchOptions(), WIDE])
def test_finds_the_limit_from_below_and_from_above(
    start: float, limit: float, options: SearchOptions
) -> None:
    rate = found(highest_rate(start, options), server(limit))
    assert limit / options.precision <= rate <= limit


@pytest.mark.parametrize("number", range(12))
def test_one_bad_step_wherever_it_comes_is_tried_again(number: int) -> None:
    rate = found(highest_rate(50.0), server(130.0, bad=(number,)))
    assert 130.0 / 1.04 <= rate <= 130.0


def test_a_bad_spell_at_the_start_does_not_end_the_search_low() -> None:
    spell = server(130.0, bad=(0, 1, 2, 3))
    assert found(highest_rate(50.0), spell) >= 130.0 / 1.04


def test_a_void_run_is_repeated_and_no_evidence() -> None:
    asked: list[float] = []
    measure = server(130.0, void=(0, 1, 5))

    def noted(rate: float) -> Verdict:
        asked.append(rate)
        return measure(rate)

    assert found(highest_rate(50.0), noted) >= 130.0 / 1.04
    assert asked[:4] == [50.0, 50.0, 50.0, 65.0]


def test_what_is_always_void_holds_nowhere_and_the_search_ends() -> None:
    asked: list[float] = []

    def measure(rate: float) -> Verdict:
        asked.append(rate)
        return Verdict.VOID

    options = SearchOptions(growth=2.0, lowest=20.0)
    assert found(highest_rate(50.0, options), measure) == 0.0
    assert asked == [50.0] * 2 * MAX_VOID_RUNS + [25.0] * 2 * MAX_VOID_RUNS


def test_gives_zero_where_nothing_holds() -> None:
    assert found(highest_rate(50.0), server(-1.0)) == 0.0


def test_a_server_without_a_limit_ends_the_search_all_the_same() -> None:
    assert found(highest_rate(1.0), server(float("inf"))) > 1_000.0


def test_searches_take_turns_and_each_finds_its_own_limit() -> None:
    limits, asked = {"ours": 300.0, "theirs": 100.0}, []

    def measure(name: str, rate: float) -> Verdict:
        asked.append(name)
        return Verdict.HOLDS if rate <= limits[name] else Verdict.FAILS

    rates = take_turns({name: highest_rate(50.0) for name in limits}, measure)
    assert asked[:4] == ["ours", "theirs", "ours", "theirs"]
    for name, limit in limits.items():
        assert limit / 1.04 <= rates[name] <= limit
