"""`./stepwell train`: from a folder of events to a release that can be published."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cold_measurement import measure_all
from project_state import DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.base.errors import StepwellError
from stepwell.models.ranker_config import DOT, INTERACTIONS
from stepwell.training.import_events import ImportOptions
from stepwell.training.ranker_optimizers import EMBEDDING_OPTIMIZERS
from stepwell.training.training_config import PRESETS, TrainingConfig
from stepwell.training.training_cuts import SPLITS
from stepwell.training.training_run import RunOptions, TrainedRelease, run_training

_EXPLAINED = """\
Trains a release: candidate sources, index, full and reduced ranker, model card.

The folder of data holds events.parquet or events.csv with the columns user_id, item_id,
event_time, event_type (purchase, click, add_to_cart, rating, ...) and optional value,
request_id, position; optional items.*, users.* and promotions.* beside it. Rows that
cannot be used are counted and named by file and row.

The last tenth of time is held out and every tier is scored on it through the serving
path; --split none trains on everything and scores nothing. A training that was stopped
takes up its checkpoints when it is called again. Next: ./stepwell publish"""

ReportStep = Callable[[str, float], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `train`."""
    parser.description = _EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    state = ProjectState(project_root(), DEFAULT_DATA_SET)
    parser.add_argument(
        "--data",
        type=Path,
        default=state.dataset,
        metavar="DIR",
        help="folder of events (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the trained release goes (default: training, beside the data)",
    )
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="quick",
        help="quick: minutes; full: the best quality (default: %(default)s)",
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="test",
        help="what is held out and scored (default: %(default)s)",
    )
    parser.add_argument(
        "--period-days",
        type=int,
        metavar="N",
        help="length of a label period (default: the data set's, else a tenth)",
    )
    parser.add_argument(
        "--max-refused-share",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="part of a file's rows that may be unusable (default: %(default)s)",
    )
    parser.add_argument(
        "--embedding-optimizer",
        choices=EMBEDDING_OPTIMIZERS,
        default="adam",
        help="what trains the full ranker's tables (default: %(default)s)",
    )
    parser.add_argument(
        "--interaction",
        choices=INTERACTIONS,
        default=DOT,
        help="how the full ranker crosses its vectors: dot products of all pairs "
        "(DLRM), or a cross network (DCN-v2) (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Trains; returns 1, with what is wrong on standard error, when it cannot."""
    console = Console(stderr=args.json, highlight=False)
    try:
        with reporting(console) as step:
            trained = run_training(
                args.data,
                args.out or args.data.parent / "training",
                config_of(args),
                RunOptions(
                    split=args.split,
                    import_options=ImportOptions(args.max_refused_share),
                    measure_tiers=measure_all,
                    progress=step,
                ),
            )
    except (StepwellError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"folder": str(trained.folder), "card": trained.card}))
    else:
        _describe(trained, console)
    return 0


def config_of(args: argparse.Namespace) -> TrainingConfig:
    """Returns the preset with what the arguments change.

    Raises:
        InvalidArgumentError: names the argument that is out of range.
    """
    config = PRESETS[args.preset].with_embedding_optimizer(args.embedding_optimizer)
    config = config.with_interaction(args.interaction)
    if args.period_days is not None:
        config = replace(config, period_days=args.period_days)
    return config.seeded(args.seed)


@contextmanager
def reporting(console: Console) -> Iterator[ReportStep]:
    """Shows a bar for each part as its steps come in, with the time it still needs."""
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, Any] = {}
        shown = ""

        def step(part: str, share: float) -> None:
            nonlocal shown
            if part != shown or share == 0.0:
                if shown in tasks:
                    progress.update(tasks[shown], completed=1.0)
                tasks[part] = progress.add_task(part, total=1.0)
                shown = part
            progress.update(tasks[part], completed=min(share, 1.0))

        yield step


def _describe(trained: TrainedRelease, console: Console) -> None:
    for line in trained.import_lines:
        console.print(line)
    card = trained.card
    for name, quality in card["quality"].items():
        cost = card["cost_us"][name]
        console.print(
            f"{name:<23} NDCG@10 {quality['ndcg_at_10']:.4f}"
            f"  new {quality['ndcg_at_10_new']:.4f}"
            f"  Recall@500 {quality['recall_at_500']:.4f}"
            f"  p50 {cost['p50'] / 1e3:.2f} ms  p99 {cost['p99'] / 1e3:.2f} ms"
        )
    seconds = "  ".join(f"{name} {value} s" for name, value in card["seconds"].items())
    console.print(f"[dim]{seconds}[/dim]")
    console.print(f"trained [bold]{trained.folder}[/bold]")
    console.print("next: ./stepwell publish")
