"""The closed loop of `./stepwell load`: locust plays people who wait for answers."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from load_run import LoadRun
from report import Report
from slo import Situation, findings
from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError

LOCUSTFILE = Path(__file__).parents[3] / "loadtest" / "locustfile.py"
# The other limits are about a load that does not wait.
SLOS_OF_A_CLOSED_LOOP = ("half", "nearly-full")
_STOP_SECONDS = 60
_LOG_TAIL_LINES = 5


def run_closed_loop(
    args: argparse.Namespace, address: str, user_ids: list[str]
) -> Report:
    """Plays the journeys and returns their report; a journey is a lane.

    Raises:
        FailedPreconditionError: locust is not installed, or failed; says why.
        InvalidArgumentError: what was asked for needs an open loop.
    """
    _refuse_what_needs_a_rate(args)
    if importlib.util.find_spec("locust") is None:
        raise FailedPreconditionError(
            "locust is not installed; run: .venv/bin/pip install -r "
            "requirements-dev.lock   (or use --rate, which does without)"
        )
    with tempfile.TemporaryDirectory() as folder:
        run, notes = _played(args, address, user_ids, Path(folder))
    situation = Situation(args.budget_ms)
    return Report(
        title=f"{args.users} people, {args.seconds:g} s",
        run=run,
        situation=situation,
        slo=args.slo or "",
        findings=tuple(findings(args.slo, run, situation)) if args.slo else (),
        facts={
            "loop": "closed: latency counts from when a call left",
            "returns": f"{notes['returns']}, of which {notes['felt']} saw another "
            "slate after their click",
        },
    )


def _refuse_what_needs_a_rate(args: argparse.Namespace) -> None:
    if args.scenario != "steady":
        raise InvalidArgumentError(
            f"--scenario {args.scenario} needs --rate", "scenario"
        )
    if args.slo and args.slo not in SLOS_OF_A_CLOSED_LOOP:
        raise InvalidArgumentError(
            f"--slo {args.slo} needs --rate; without it there are "
            f"{', '.join(SLOS_OF_A_CLOSED_LOOP)}",
            "slo",
        )


def _played(
    args: argparse.Namespace, address: str, user_ids: list[str], folder: Path
) -> tuple[LoadRun, dict[str, int]]:
    ids, run, notes = (folder / n for n in ("users.txt", "run.npz", "notes.json"))
    ids.write_text("\n".join(user_ids))
    command = [
        *(sys.executable, "-m", "locust", "--headless", "-f", str(LOCUSTFILE)),
        *("--host", address, "--users", str(args.users)),
        *("--spawn-rate", str(args.users), "--run-time", f"{round(args.seconds)}s"),
        *("--think-ms", str(args.think_ms), "--seed", str(args.seed)),
        *("--run-file", str(run), "--notes-file", str(notes)),
        *("--deadline-ms", str(args.deadline_ms), "--user-ids", str(ids)),
        *("--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"),
    ]
    done = subprocess.run(
        command,
        env=_environment(os.environ),
        capture_output=True,  # its tables; ours say the same and more
        text=True,
        timeout=args.seconds + _STOP_SECONDS,
        check=False,
    )
    if done.returncode or not notes.exists():
        said = " | ".join(done.stderr.splitlines()[-_LOG_TAIL_LINES:])
        raise FailedPreconditionError(
            f"locust ended with {done.returncode} and said: {said}"
        )
    return LoadRun.load(run), json.loads(notes.read_text())


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that imports what this process can import."""
    return {**variables, "PYTHONPATH": os.pathsep.join(sys.path)}
