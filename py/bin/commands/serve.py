"""`./stepwell serve`: serves the published release over gRPC until Ctrl-C."""

import argparse
import json
import signal
from types import FrameType

from rich.console import Console

from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from ranker_process import RankerProcess
from stepwell.base.errors import NotFoundError
from stepwell.releases.source import DirectorySource

DEFAULT_PORT = 7000

_EXPLAINED = """\
Serves the newest published release of a data set.

Clients reach it over gRPC (reflection and grpc.health.v1 are on), Prometheus at
/metrics. A release that is published while it serves goes live within seconds.
Ctrl-C drains: calls in flight finish, the event log is flushed. With --workers SIGHUP
to the ranker's pid replaces its processes one by one, without an error."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `serve`."""
    parser.description = _EXPLAINED
    parser.add_argument(
        "--data",
        choices=DATA_SETS,
        default=DEFAULT_DATA_SET,
        help="whose release to serve (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="port of callers, 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=0,
        help="port of /metrics, 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--latency-budget-ms",
        type=int,
        metavar="MS",
        help="time from arrival to answer that the ladder plans for",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that answer on the one port (default: 1)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of the ladder's constants, see docs/configuration.md",
    )
    parser.add_argument(
        "--experiments",
        metavar="FILE",
        help="JSON file of experiments, followed while it serves",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON line when it serves"
    )


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM; returns the ranker's exit status.

    Raises:
        NotFoundError: nothing was published yet.
    """
    state = ProjectState(project_root(), args.data)
    if not DirectorySource(state.registry).versions():
        raise NotFoundError(
            f"there is no release in {state.registry}; "
            f"run: ./stepwell demo --data {args.data} --exit"
        )
    flags = [f"--metrics_port={args.metrics_port}"]
    if args.latency_budget_ms is not None:
        flags.append(f"--latency_budget_ms={args.latency_budget_ms}")
    if args.workers is not None:
        flags.append(f"--workers={args.workers}")
    if args.config is not None:
        flags.append(f"--config={args.config}")
    if args.experiments is not None:
        flags.append(f"--experiments={args.experiments}")
    signal.signal(signal.SIGTERM, _interrupt)
    with RankerProcess.start(state, args.port, flags) as ranker:
        _say(ranker, args)
        return ranker.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """A SIGTERM ends this process as Ctrl-C does: the ranker is drained first."""
    raise KeyboardInterrupt


def _say(ranker: RankerProcess, args: argparse.Namespace) -> None:
    server = ranker.server
    if args.json:
        fields = {name: getattr(server, name) for name in server.__slots__}
        print(json.dumps(fields), flush=True)
        return
    console = Console(highlight=False)
    console.print(
        f"[bold]serving[/bold] {server.data} on {server.address}\n"
        f"admin    {server.admin_address}  (./stepwell ladder show)\n"
        f"metrics  http://{server.metrics_address}/metrics\n"
        "try      ./stepwell recommend --user 1 -k 10 --explain\n"
        "stop     Ctrl-C"
    )
