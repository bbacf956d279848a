"""The search for the highest rate that holds, one question at a time.

A generator, so that the searches of several servers can take turns on a machine that
drifts; `found` runs one alone, `take_turns` several side by side. It measures nothing
itself: who runs it says of each rate what a run at it showed.
"""

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import Enum

MAX_RATES = 40
"""Rates that a search looks at, at most."""

MAX_VOID_RUNS = 3
"""A rate at which not even the third run counts does not hold: nobody can ask so
often."""


class Verdict(Enum):
    """What a run at one rate showed."""

    HOLDS = "Enough of the calls were answered in time."
    FAILS = "Too few were."
    VOID = "The run means nothing."


Search = Generator[float, Verdict, float]
Measure = Callable[[float], Verdict]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a rate is looked for.

    Attributes:
        growth: factor between rising steps, and between falling ones, > 1.
        precision: the ratio, > 1, of a rate that fails to one that holds at which the
            search ends.
        lowest: a search that falls below this rate gives up.
    """

    growth: float = 1.3
    precision: float = 1.04
    lowest: float = 1.0


def highest_rate(start: float, options: SearchOptions | None = None) -> Search:
    """Rises until a rate fails, or falls until one holds, then halves the ratio.

    Args:
        start: the first rate, > 0; a good guess is somewhat too low.
        options: of the steps.
    Yields:
        The rate to try; it is sent the verdict on it. A void run is repeated. A rate
        that failed is tried once more at once, and again before the search ends by it:
        a busy moment of the machine is not the server's limit.
    Returns:
        The highest rate that held; 0 when none did.
    """
    options = options or SearchOptions()
    held, failed, rate = 0.0, 0.0, start
    for _ in range(MAX_RATES):
        if (yield from _holds(rate)) or (yield from _holds(rate)):
            held = rate
        else:
            failed = rate
        if failed and held and failed <= held * options.precision:
            # It failed a while ago: were it a hiccup, the search would end far too low.
            if not (yield from _holds(failed)):
                break
            held, failed = failed, 0.0
        rate = _next_rate(held, failed, options.growth)
        if rate < options.lowest:
            break
    return held


def _holds(rate: float) -> Generator[float, Verdict, bool]:
    for _ in range(MAX_VOID_RUNS):
        verdict = yield rate
        if verdict is not Verdict.VOID:
            return verdict is Verdict.HOLDS
    return False


def _next_rate(held: float, failed: float, growth: float) -> float:
    if not failed:
        return held * growth
    if not held:
        return failed / growth
    return math.sqrt(held * failed)


def found(search: Search, measure: Measure) -> float:
    """Runs one search to its end; returns its result."""
    return take_turns({"": search}, lambda _, rate: measure(rate))[""]


def take_turns(
    searches: Mapping[str, Search], measure: Callable[[str, float], Verdict]
) -> dict[str, float]:
    """Runs searches side by side, a question of each in turn; returns their results.

    Args:
        searches: by name; each is run to its end.
        measure: (name, rate) -> what a run at the rate showed.
    """
    results: dict[str, float] = {}
    rates = {name: next(search) for name, search in searches.items()}
    while rates:
        for name in list(rates):
            try:
                rates[name] = searches[name].send(measure(name, rates[name]))
            except StopIteration as end:
                results[name] = end.value
                del rates[name]
    return results
