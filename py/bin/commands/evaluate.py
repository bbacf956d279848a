"""`./stepwell evaluate`: every tier of a trained release, scored on held-out time."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cold_measurement import measure_cold, measure_stale
from commands.train import ReportStep, reporting
from project_state import DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.base.errors import FailedPreconditionError, NotFoundError, StepwellError
from stepwell.models.precision import DEFAULT_PRECISION, PRECISIONS
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell.training.evaluate import Evaluation
from stepwell.training.import_events import import_events
from stepwell.training.model_card import TierFigures, cost_summary
from stepwell.training.split import snapshot
from stepwell.training.training_cuts import cuts_of, natural_period_days
from stepwell.training.training_run import RELEASE_FOLDER
from tier_measurement import WAYS, Measured, measure_tiers

_EXPLAINED = """\
Scores a trained release on time it has not seen, through the serving path itself.

For every user with an event before the cut and a target after it, each tier is asked
for 1,000 items. "all" counts all targets, "new" only those the user never had before,
with the known ones taken out of the list. Recall@K = hits / targets; NDCG@10 has gain
1, discount 1 / log2(place + 1), ideal over min(10, targets); averages are over users,
+- is their standard error. Re-ranking for diversity is off but in full_diverse. Ways
named new_user and after_N_events ask for the same users as if only so much were known,
stale as if the writer of their features had stopped long ago.

--export FILE.parquet writes (user, item, rank), so that anybody can score the lists.
--split test is for the end: make your choices on --split validation."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is scored: the folder of artifacts, the data, and which part of its time."""

    release: Path
    data: Path
    split: str
    period_days: int | None
    max_users: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `evaluate`."""
    parser.description = _EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    state = ProjectState(project_root(), DEFAULT_DATA_SET)
    parser.add_argument(
        "--data",
        type=Path,
        default=state.dataset,
        metavar="DIR",
        help="folder of events it was trained from (default: %(default)s)",
    )
    parser.add_argument(
        "--release",
        type=Path,
        metavar="DIR",
        help="trained folder (default: training/trained beside the data)",
    )
    parser.add_argument(
        "--split",
        choices=("test", "validation"),
        default="test",
        help="the one the release was trained for (default: %(default)s)",
    )
    parser.add_argument(
        "--tier",
        choices=("all", *(way.name for way in WAYS)),
        default="all",
        help="what to score (default: %(default)s)",
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write every user's list of --tier (of full, when it is all) as Parquet",
    )
    parser.add_argument(
        "--period-days", type=int, metavar="N", help="as the training was given"
    )
    parser.add_argument(
        "--max-users", type=int, metavar="N", help="score every n-th user only"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=DEFAULT_PRECISION,
        help="of the full ranker's products, as ranker_main's --scorer_precision "
        "(default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Scores; returns 1, with what is wrong on standard error, when it cannot."""
    console = Console(stderr=args.json, highlight=False)
    release = args.release or args.data.parent / "training" / RELEASE_FOLDER
    plan = EvaluationPlan(
        release, args.data, args.split, args.period_days, args.max_users
    )
    try:
        with reporting(console) as step:
            held_out = held_out_of(plan, step)
            ways = ways_of(args.tier, args.export)
            figures = dict(
                measure_tiers(
                    release,
                    held_out,
                    step,
                    ways,
                    diverse=args.tier == "all",
                    precision=args.precision,
                )
            )
            if args.tier == "all":
                for measure in (measure_stale, measure_cold):
                    figures |= measure(
                        release, held_out, step, precision=args.precision
                    )
    except (StepwellError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(_document(figures)))
    else:
        console.print(_table(figures, held_out))
        if args.export:
            console.print(f"lists written to {args.export}")
    return 0


def held_out_of(plan: EvaluationPlan, step: ReportStep) -> Evaluation:
    """Returns the users and targets of the plan.

    Raises:
        NotFoundError: there is no trained release.
        FailedPreconditionError: the release has seen other time, or other data.
    """
    if not plan.release.is_dir():
        raise NotFoundError(
            f"there is no trained release {plan.release}; run: ./stepwell train"
        )
    step("import", 0.0)
    table = import_events(plan.data).table
    period = plan.period_days or natural_period_days(plan.data, table)
    cuts = cuts_of(table, plan.split, period)
    watermark = ReleaseMetadata.load(plan.release).data_watermark_seconds
    if watermark != cuts.release_cut:
        raise FailedPreconditionError(
            f"{plan.release} knows events up to {_day(watermark)}, the {plan.split} "
            f"split starts at {_day(cuts.release_cut)}; train with --split {plan.split}"
        )
    known = snapshot(table, cuts.release_cut)
    vocabulary = Vocabulary.load(plan.release / VOCABULARY_FILE)
    if not np.array_equal(vocabulary.keys, known.items.keys):
        raise FailedPreconditionError(
            f"{plan.release} has {len(vocabulary)} items, {plan.data} gives "
            f"{known.num_items} others: it was trained from other data"
        )
    return Evaluation.of(known, cuts.evaluation_end, plan.max_users)


def ways_of(tier: str, export: Path | None) -> tuple[Measured, ...]:
    """Returns what is scored, in an order in which memory fills before it is asked."""
    exported = "full" if tier == "all" else tier
    kept = [way for way in WAYS if tier in ("all", way.name)]
    if tier == "popular_cached":
        kept = [way for way in WAYS if way.name in ("full", "popular_cached")]
    return tuple(
        Measured(way.name, way.tier, export if way.name == exported else None)
        for way in kept
    )


def _document(figures: Mapping[str, TierFigures]) -> dict[str, object]:
    return {
        "quality": {name: entry.quality.summary() for name, entry in figures.items()},
        "cost_us": {n: cost_summary(entry.cost_us) for n, entry in figures.items()},
    }


def _table(figures: Mapping[str, TierFigures], held_out: Evaluation) -> Table:
    cut, end = _day(held_out.known.cut_time), _day(held_out.end_time)
    table = Table(title=f"{len(held_out.user_rows)} users, {cut} to {end}")
    for name in ("", "NDCG@10", "new NDCG@10", "Recall@500", "new", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right" if name else "left")
    for name, entry in figures.items():
        quality, cost = entry.quality, cost_summary(entry.cost_us)
        everything, new = quality.all, quality.new
        table.add_row(
            name,
            f"{everything.ndcg_at_10.value:.4f}"
            f" ± {everything.ndcg_at_10.standard_error:.4f}",
            f"{new.ndcg_at_10.value:.4f} ± {new.ndcg_at_10.standard_error:.4f}",
            f"{everything.recall_at_500.value:.4f}",
            f"{new.recall_at_500.value:.4f}",
            f"{cost['p50'] / 1e3:.2f}",
            f"{cost['p99'] / 1e3:.2f}",
        )
    return table


def _day(seconds: int) -> str:
    return str(np.datetime64(seconds, "s").astype("datetime64[D]"))
