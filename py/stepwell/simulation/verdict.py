"""What runs are worth beside the best mix: one line a kind of run, and the bars."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from stepwell.degradation.tier import Tier
from stepwell.simulation.oracle import best_utility
from stepwell.simulation.play import play
from stepwell.simulation.played import Played
from stepwell.simulation.scenario import Scenario
from stepwell.simulation.steering import Maker

LEAST_IN_BUDGET = 0.995
LEAST_OF_BEST = 0.90
MIN_RUNS_OF_A_KIND = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run. Ratios are in [0, 1].

    Attributes:
        of_best: utility as a share of the best mix known in hindsight. The best mix is
            one of each quarter of a second: a little over 1 is possible.
        tier_changes: of the tier of most answers of a second, per minute.
    """

    kind: str
    seed: int
    num_requests: int
    in_budget: float
    answered: float
    of_best: float
    full: float
    reduced: float
    popular: float
    p99_ms: float
    tier_changes: float
    attempts: float

    def as_json(self) -> dict[str, object]:
        """Returns the fields by name."""
        return asdict(self)


def verdict_of(played: Played) -> Verdict:
    """Returns what a run is worth."""
    scenario = played.scenario
    best = best_utility(scenario)
    return Verdict(
        kind=scenario.name,
        seed=scenario.seed,
        num_requests=len(played),
        in_budget=played.in_budget_ratio,
        answered=played.answered_ratio,
        of_best=played.utility / best if best else 1.0,
        full=played.share(Tier.FULL),
        reduced=played.share(Tier.REDUCED),
        popular=played.share(Tier.POPULAR),
        p99_ms=played.latency_ms(0.99),
        tier_changes=played.tier_changes_a_minute(),
        attempts=float(played.num_attempts.mean()) if len(played) else 1.0,
    )


def verdicts(scenarios: Iterable[Scenario], make: Maker) -> Iterator[Verdict]:
    """Plays scenarios one after the other."""
    for scenario in scenarios:
        yield verdict_of(play(scenario, make))


def summary(runs: Sequence[Verdict], kind: str = "all") -> Verdict:
    """Returns many runs as one: weighted by requests, utility by run.

    `seed` is that of the run with the lowest share of the best mix.
    """
    total = max(sum(run.num_requests for run in runs), 1)

    def weighted(name: str) -> float:
        values = (getattr(run, name) * run.num_requests for run in runs)
        return float(sum(values)) / total

    return Verdict(
        kind=kind,
        seed=min(runs, key=lambda run: run.of_best).seed,
        num_requests=total,
        in_budget=weighted("in_budget"),
        answered=weighted("answered"),
        of_best=sum(run.of_best for run in runs) / len(runs),
        full=weighted("full"),
        reduced=weighted("reduced"),
        popular=weighted("popular"),
        p99_ms=max(run.p99_ms for run in runs),
        tier_changes=sum(run.tier_changes for run in runs) / len(runs),
        attempts=weighted("attempts"),
    )


def by_kind(runs: Sequence[Verdict]) -> list[Verdict]:
    """Returns one line for each kind of run, and one for all of them at the end."""
    kinds = dict.fromkeys(run.kind for run in runs)
    lines = [summary([r for r in runs if r.kind == kind], kind) for kind in kinds]
    return [*lines, summary(runs)]


def missed_bars(runs: Sequence[Verdict]) -> list[str]:
    """Returns what falls short: of all runs together, and of each kind.

    A kind of fewer than `MIN_RUNS_OF_A_KIND` is judged with the others only.
    """
    missed = []
    for line in by_kind(runs):
        num_runs = sum(run.kind == line.kind for run in runs)
        if line.kind != "all" and num_runs < MIN_RUNS_OF_A_KIND:
            continue
        if line.in_budget < LEAST_IN_BUDGET:
            missed.append(
                f"{line.kind}: in budget {line.in_budget:.2%} < {LEAST_IN_BUDGET:.1%}"
            )
        if line.of_best < LEAST_OF_BEST:
            missed.append(
                f"{line.kind}: {line.of_best:.1%} of the best mix < {LEAST_OF_BEST:.0%}"
            )
    return missed
