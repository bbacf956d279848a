"""`./stepwell demo`: data, training, publishing, serving, answers, in one command."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bench.report import describe_machine
from demo.latency import measure_latency
from demo.phases import PhaseTimer
from demo.preparation import Preparation, data_watermark
from demo.purchases import busiest_to_quietest
from demo.showcase import Showcase
from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from ranker_process import RankerProcess
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import EventType
from stepwell.training.training_config import PRESETS

NUM_USERS = 5
NUM_LATENCY_REQUESTS = 1_000
# A busy machine makes an answer late; that is no reason to end the demo.
PATIENCE_MS = 5_000

_EXPLAINED = """\
From nothing to recommendations: fetches the data, trains, publishes, serves, asks.

The first run trains; later runs find the release and serve within seconds. Everything
lies in .stepwell/<data>, safe to delete."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `demo`."""
    parser.description = _EXPLAINED
    parser.add_argument(
        "--data",
        choices=DATA_SETS,
        default=DEFAULT_DATA_SET,
        help="what to learn from (default: %(default)s)",
    )
    parser.add_argument(
        "--exit", action="store_true", help="stop when done; else keep serving"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write JSON")
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="quick trains in minutes, full in half an hour at most; a release of the "
        "other is trained anew (default: as it is, quick where there is none)",
    )
    parser.add_argument("--port", type=int, default=7000, help="default: %(default)s")
    parser.add_argument(
        "--retrain", action="store_true", help="train again although a release exists"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the demo; returns 0 when every phase came to its end."""
    console = Console(highlight=False)
    if args.report:
        # Minutes of work must not end at a folder that is not there.
        args.report.parent.mkdir(parents=True, exist_ok=True)
    timer = PhaseTimer(console)
    state = ProjectState(project_root(), args.data)
    quality = Preparation(state, args.preset, timer, console).ready(args.retrain)
    with timer.phase("serve", "starting the ranker, waiting for SERVING"):
        ranker = RankerProcess.start(state, port=args.port)
    with ranker:
        report = _asked(ranker, state, timer, console)
        report |= {"phases": timer.seconds, "quality": quality}
        report["machine"] = describe_machine()
        if args.report:
            args.report.write_text(json.dumps(report, indent=1) + "\n")
        _print_next(console, report)
        if not args.exit:
            console.print(f"serving on {ranker.address}; Ctrl-C ends it")
            return ranker.wait()
    return 0


def _asked(
    ranker: RankerProcess, state: ProjectState, timer: PhaseTimer, console: Console
) -> dict[str, Any]:
    """Shows answers and measures latency; returns that part of the report."""
    options = ClientOptions(deadline_ms=PATIENCE_MS)
    with RecommendClient(ranker.address, options) as client:
        with timer.phase("recommend", "five users, what they had and what they get"):
            watermark = data_watermark(state)
            users = busiest_to_quietest(state.dataset, NUM_USERS, watermark)
            info = json.loads((state.dataset / "dataset.json").read_text())
            positive = EventType[info["event_type"].upper()]
            showcase = Showcase(client, console, positive)
            answers = showcase.show_users(users)
        with timer.phase("tiers", "the same user at every step of the ladder"):
            tiers = showcase.show_tiers(users[0].user_id)
        with timer.phase("feedback", "an event is logged, the next answer knows it"):
            feedback = showcase.show_feedback(users[1].user_id)
        with (
            timer.phase(
                "latency", f"{NUM_LATENCY_REQUESTS} sequential requests a tier"
            ),
            Progress(console=console, transient=True) as progress,
        ):
            ids = [user.user_id for user in users]
            latency = measure_latency(client, ids, NUM_LATENCY_REQUESTS, progress)
    return {
        "answers": answers,
        "tiers": tiers,
        "feedback": feedback,
        "latency_ms": latency,
    }


def _print_next(console: Console, report: dict[str, Any]) -> None:
    for tier, latency in report["latency_ms"].items():
        scores = report["quality"].get(tier, {})
        console.print(
            f"{tier:8} p50 {latency['p50']:.2f} ms  p99 {latency['p99']:.2f} ms"
            + "".join(
                f"  {name} {scores[key]:.3f}"
                for name, key in (
                    ("NDCG@10", "ndcg_at_10"),
                    ("new", "ndcg_at_10_new"),
                    ("Recall@500", "recall_at_500"),
                )
                if key in scores
            )
        )
    user = report["answers"][0]["user_id"]
    console.print(
        "\nnext:\n"
        f"  ./stepwell recommend --user {user} -k 10 --explain\n"
        "  ./stepwell load --users 8 --seconds 30\n"
        "  ./stepwell bench serving --check\n"
    )
