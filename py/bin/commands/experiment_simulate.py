"""`./stepwell experiment simulate`: the tests on experiments that never were."""

import argparse
import json
from dataclasses import asdict

from experiment_history import history_of
from log_command import line_progress
from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.base.errors import InvalidArgumentError, check_range
from stepwell.experiments.panel import LookOptions
from stepwell.experiments.simulation import (
    History,
    SimulationOptions,
    SimulationResult,
    simulate,
)

EXPLAINED = """\
Deals two arms of one half each over what the users of a data set did in the second half
of its time: a visit is a user's day, a hit one of the ten most popular items in it. In
the A/A runs the arms are the same, so that every alarm is false. In the others a share
of the treated users' hits is taken away, to see how soon that is found. All tests look
at the same runs; the always-valid one may look as often as it likes.

Exit code 1 when the always-valid test has more false alarms than alpha."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `experiment simulate`."""
    parser.description = EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data", choices=DATA_SETS, default=DEFAULT_DATA_SET, help="whose users"
    )
    parser.add_argument(
        "--aa", type=int, default=1_000, metavar="N", help="A/A runs (%(default)s)"
    )
    parser.add_argument(
        "--ab", type=int, default=200, metavar="N", help="runs a loss (%(default)s)"
    )
    parser.add_argument(
        "--lose",
        type=float,
        nargs="*",
        default=[0.05, 0.1, 0.2],
        metavar="SHARE",
        help="of the treated users' hits taken away (0.05 0.1 0.2)",
    )
    parser.add_argument(
        "--looks", type=int, default=500, help="at each run (%(default)s)"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.01, help="false alarms allowed (%(default)s)"
    )
    parser.add_argument(
        "--effect",
        type=float,
        default=0.05,
        help="the test's expected effect, in parts of the metric (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of salts (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Simulates and tells; returns 0 where false alarms are within alpha, else 1."""
    check_range("--aa", args.aa, 1, 100_000)
    check_range("--ab", args.ab, 1, 100_000)
    check_range("--looks", args.looks, 1, 10_000)
    _check_share("--alpha", args.alpha)
    _check_share("--effect", args.effect)
    for share in args.lose:
        _check_share("--lose", share)
    history = history_of(ProjectState(project_root(), args.data).dataset)
    results = [_simulated(history, args, args.aa, 0.0)]
    results += [_simulated(history, args, args.ab, share) for share in args.lose]
    alarms = max(results[0].found, results[0].found_plain)
    is_kept = alarms <= args.alpha * args.aa
    facts = {"is_kept": is_kept, "runs": [_facts(one) for one in results]}
    print(json.dumps(facts) if args.json else text_of(results))
    return 0 if is_kept else 1


def _check_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise InvalidArgumentError(f"{name} is {value}, must be in (0, 1)", name)


def _simulated(
    history: History, args: argparse.Namespace, num_runs: int, lost_share: float
) -> SimulationResult:
    options = SimulationOptions(
        num_runs=num_runs,
        num_looks=args.looks,
        looks=LookOptions(args.alpha, args.effect),
        lost_share=lost_share,
        seed=args.seed,
    )
    phase = f"{lost_share:.0%} lost" if lost_share else "A/A"
    with line_progress(phase, quiet=args.json) as on_progress:
        return simulate(
            history, options, lambda done, total: on_progress(phase, done, total)
        )


def _facts(result: SimulationResult) -> dict[str, float | None]:
    """JSON knows no nan."""
    said = asdict(result)
    return {name: None if value != value else value for name, value in said.items()}


def text_of(results: list[SimulationResult]) -> str:
    """Returns the results for people."""
    first = results[0]
    lines = [
        f"{first.num_users:,} users with {first.num_occasions:,} visits; "
        f"{first.num_looks:,} looks a run; alpha {first.alpha:g}",
        "",
        f"{'':<10} {'runs':>6} {'always valid':>13} {'unadjusted':>11} {'peeking':>9} "
        f"{'at end':>9} {'CUPED':>9} {'variance':>9} {'half found':>11}",
    ]
    for one in results:
        name = f"{one.lost_share:.0%} lost" if one.lost_share else "A/A"
        shares = [
            f"{number / one.num_runs:.1%}"
            for number in (
                *(one.found, one.found_plain, one.found_by_peeking),
                *(one.found_at_end, one.found_adjusted),
            )
        ]
        lines.append(
            f"{name:<10} {one.num_runs:>6,} {shares[0]:>13} {shares[1]:>11} "
            f"{shares[2]:>9} {shares[3]:>9} {shares[4]:>9} {one.variance_kept:>9.2f} "
            f"{_visits(one.median_occasions):>11}"
        )
    lines += [
        "",
        "always valid: at any look, adjusted by what was known of the users before, or",
        "unadjusted. peeking: a test for one look, at every look. at end: that test",
        "once. CUPED: the same, adjusted; its variance in parts of the plain one. half",
        "found: visits of both arms until half of the runs were found, always valid.",
        f"Arms of another size than dealt: {first.mismatches} of {first.num_runs:,}.",
    ]
    return "\n".join(lines)


def _visits(number: float) -> str:
    return f"{number:,.0f}" if number == number else "-"
