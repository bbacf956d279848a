"""The search for the highest rate that holds, one step at a time.

A generator, so that the searches of several servers can take turns on a machine that
drifts:

    search = highest_rate(50.0)
    rate = next(search)
    while True:
        rate = search.send(holds_at(rate))      # StopIteration.value is the result
"""

from collections.abc import Callable, Generator, Mapping

Search = Generator[float, bool, float]

MAX_STEPS = 60
"""Questions that a search asks at most."""

LOWEST_SHARE = 0.1
"""Of the first rate: a server that does not hold so little holds nothing."""


def highest_rate(start: float, growth: float = 1.3, tolerance: float = 0.04) -> Search:
    """Rises by `growth` until a rate fails, then halves the gap; fails need two.

    Args:
        start: the first rate; when it fails already, the search goes down from there,
            to LOWEST_SHARE of it.
        growth: factor between rising steps, > 1.
        tolerance: the gap, relative to the rate that holds, at which it ends.
    Yields:
        The rate to try; it is sent whether that rate held. One that did not is tried
        once more at once, and again before the search ends by it: a busy moment of the
        machine is not the server's limit.
    Returns:
        The highest rate that held; 0 when none did.
    """
    held, failed, rate = 0.0, 0.0, start
    for _ in range(MAX_STEPS // 2):
        if (yield rate) or (yield rate):
            held = rate
        else:
            failed = rate
        if failed and held and failed <= held * (1 + tolerance):
            # It failed a while ago: were it a hiccup, the search would end far too low.
            if not (yield failed):
                break
            held, failed = failed, 0.0
        rate = _next_rate(held, failed, growth)
        if rate < LOWEST_SHARE * start:
            break
    return held


def _next_rate(held: float, failed: float, growth: float) -> float:
    if not failed:
        return held * growth
    if not held:
        return failed / growth
    return (held + failed) / 2


def take_turns(
    searches: Mapping[str, Search], holds: Callable[[str, float], bool]
) -> dict[str, float]:
    """Runs searches side by side, a step of each in turn; returns their results.

    Args:
        searches: by name; each is run to its end.
        holds: (name, rate) -> whether the rate held.
    """
    found: dict[str, float] = {}
    rates = {name: next(search) for name, search in searches.items()}
    while rates:
        for name in list(rates):
            try:
                rates[name] = searches[name].send(holds(name, rates[name]))
            except StopIteration as end:
                found[name] = end.value
                del rates[name]
    return found
