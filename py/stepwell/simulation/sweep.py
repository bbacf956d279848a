"""The ladder's constants, one after the other, over the same runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stepwell.degradation.controller import LadderOptions
from stepwell.degradation.tier import Tier
from stepwell.simulation.families import any_scenario
from stepwell.simulation.plain import (
    DELUGE_END_US,
    STANDING_NOWHERE_US,
    at_load,
    deluge,
    flood,
    full_after,
    mended,
    seconds_to_full,
)
from stepwell.simulation.play import play
from stepwell.simulation.scenario import MILLION, Scenario
from stepwell.simulation.steering import ladder
from stepwell.simulation.verdict import Verdict, summary, verdict_of

Change = Callable[[LadderOptions, float], LadderOptions]


def _ppm(share: float) -> int:
    return round(share * MILLION)


def _fixed_f(options: LadderOptions, value: float) -> LadderOptions:
    trim = replace(options.trim, low_ppm=_ppm(value), high_ppm=_ppm(value))
    return replace(options, initial_fit_ppm=_ppm(value), trim=trim)


def _of(section: str, name: str) -> Change:
    """Sets a constant of a section: a share in millionths, seconds in microseconds."""

    def change(options: LadderOptions, value: float) -> LadderOptions:
        part = replace(getattr(options, section), **{name: _ppm(value)})
        return replace(options, **{section: part})

    return change


def _initial(options: LadderOptions, value: float) -> LadderOptions:
    return replace(options, initial_fit_ppm=_ppm(value))


def _sure(options: LadderOptions, value: float) -> LadderOptions:
    return replace(options, cost=replace(options.cost, min_sure_samples=int(value)))


def _standing(options: LadderOptions, value: float) -> LadderOptions:
    return replace(options, standing_us=_ppm(value))


GRID: Mapping[str, tuple[Change, tuple[float, ...]]] = {
    "f, fixed": (_fixed_f, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
    "f at start": (_initial, (0.3, 0.5, 0.6, 0.7, 0.85)),
    "highest f": (_of("trim", "high_ppm"), (0.6, 0.7, 0.8, 0.9)),
    "tail, share of B": (_of("trim", "tail_ratio_ppm"), (0.6, 0.7, 0.8, 0.9)),
    "early, share of B": (_of("trim", "early_ratio_ppm"), (0.5, 0.6, 0.7, 0.8)),
    "step down": (_of("trim", "down_ppm"), (0.7, 0.8, 0.9, 0.95)),
    "step up": (_of("trim", "up_ppm"), (1.01, 1.02, 1.05, 1.1)),
    "step up in calm": (_of("trim", "calm_up_ppm"), (1.02, 1.1, 1.15, 1.2, 1.5)),
    "calm, share idle": (_of("trim", "calm_ratio_ppm"), (0.1, 0.25, 0.5, 1.0)),
    "cost window, s": (_of("cost", "window_us"), (0.5, 1.0, 2.0, 4.0, 8.0)),
    "probe share": (_of("policy", "probe_ppm"), (0.0, 0.01, 0.03, 0.1)),
    "exercise share": (_of("policy", "exercise_ppm"), (0.0, 0.005, 0.01)),
    "sure samples": (_sure, (1, 5, 20, 50)),
    "standing queue, s": (_standing, (0.02, 0.1, 0.5, 600.0)),
}
"""Constant -> how it is changed and its values; the others keep their defaults."""


@dataclass(frozen=True, slots=True)
class SweepLine:
    """One value of one constant.

    Attributes:
        mixed: over scenarios of all kinds.
        worst_of_best: of the run that fared worst.
        full_at_half, full_at_most: share of FULL at 0.5 and 0.9 of C0.
        back_s: seconds until 95 % of a second's answers are FULL again after a fault.
        full_after_deluge: share of FULL from 5 s after three times that on, where the
            flood has taken f to its floor.
        flood_in_budget: share in budget at twice what POPULAR can take, where at most
            one half is possible.
    """

    constant: str
    value: float
    mixed: Verdict
    worst_of_best: float
    full_at_half: float
    full_at_most: float
    back_s: float
    full_after_deluge: float
    flood_in_budget: float


def sweep(num_seeds: int, first_seed: int = 0) -> Iterator[SweepLine]:
    """Plays every value of every constant of `GRID`."""
    scenarios = [any_scenario(first_seed + number) for number in range(num_seeds)]
    for constant_name, (change, values) in GRID.items():
        for value in values:
            options = change(LadderOptions(), value)
            yield _line(constant_name, value, options, scenarios)


def num_lines() -> int:
    """Returns how many lines a sweep has."""
    return sum(len(values) for _, values in GRID.values())


def _line(
    constant_name: str,
    value: float,
    options: LadderOptions,
    scenarios: Sequence[Scenario],
) -> SweepLine:
    make = ladder(options)
    shaken = ladder(replace(options, standing_us=STANDING_NOWHERE_US))
    runs = [verdict_of(play(scenario, make)) for scenario in scenarios]
    return SweepLine(
        constant=constant_name,
        value=value,
        mixed=summary(runs),
        worst_of_best=min(run.of_best for run in runs),
        full_at_half=play(at_load(0.5), make).share(Tier.FULL),
        full_at_most=play(at_load(0.9), make).share(Tier.FULL),
        back_s=seconds_to_full(play(mended(), make)),
        full_after_deluge=full_after(
            play(deluge(), shaken), DELUGE_END_US + 5 * MILLION
        ),
        flood_in_budget=play(flood(), make).in_budget_ratio,
    )
