"""`./stepwell recommend`: asks a running server and explains the answer."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from project_state import project_root, running_server
from stepwell.base.errors import UnavailableError
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Reason, Recommendation, ServedBy, Tier

START_HINT = "start one with: ./stepwell serve   (or ./stepwell demo, from nothing)"
_FIRST_CALL_MS = 5_000
_BAR_WIDTH = 40

_MEANINGS = {
    Reason.BACKLOG: "requests waiting would have eaten the time of a better tier",
    Reason.STALE_FEATURES: "what is known of the user is too old; a default was used",
    Reason.MISSING_USER: "nothing is known of this user: a cold-start answer",
    Reason.SHARD_COVERAGE: "a candidate source or shard did not answer",
    Reason.PROBE: "tried one tier up, to see whether it is well again",
    Reason.EXERCISE: "sent down on purpose, so that the fallback does not rot",
    Reason.FORCED: "this tier was asked for",
    Reason.NO_RELEASE: "no release is live",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `recommend`."""
    parser.description = (
        "Asks a running server what a user should see, and prints the answer with "
        "its tier, release, reasons and the time of every stage."
    )
    parser.epilog = (
        "examples:  ./stepwell recommend --user 1 -k 10 --explain"
        "   |   ./stepwell recommend --user 1 --tier reduced --json"
    )
    parser.add_argument("--user", required=True, metavar="ID", help="who asks")
    parser.add_argument(
        "-k", type=int, default=10, metavar="K", help="items wanted, 1..500 (10)"
    )
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="ITEM", help="items never to show"
    )
    parser.add_argument(
        "--say",
        nargs="+",
        type=said,
        default=[],
        metavar="NAME=VALUE",
        help="what the caller knows of the moment, such as local_hour=20; see "
        "./stepwell features describe request_context",
    )
    parser.add_argument(
        "--tier",
        choices=[tier.name.lower() for tier in Tier if tier],
        help="ask for one tier; the ladder chooses otherwise",
    )
    parser.add_argument(
        "--explain", action="store_true", help="show sources and objectives of items"
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="the server; default: the one that runs here",
    )
    parser.add_argument(
        "--deadline-ms", type=int, default=_FIRST_CALL_MS, help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Asks once and prints; returns 0.

    Raises:
        StepwellError: no server answers, or it refused; the text says what to do.
    """
    answer = _ask(args, args.address or local_address(project_root()))
    if args.json:
        print(json.dumps(as_json(answer), indent=1))
    else:
        print_answer(answer, args.user, Console(highlight=False))
    return 0


def local_address(root: Path) -> str:
    """Returns the address of the server that runs on this machine.

    Raises:
        UnavailableError: there is none; the text says how to start one.
    """
    server = running_server(root)
    if server is None:
        raise UnavailableError(f"no server is running here; {START_HINT}")
    return server.address


def _ask(args: argparse.Namespace, address: str) -> Answer:
    tier = Tier[args.tier.upper()] if args.tier else Tier.UNSPECIFIED
    with RecommendClient(address) as client:
        try:
            return client.recommend(
                args.user,
                args.k,
                exclude_item_ids=args.exclude,
                deadline_ms=args.deadline_ms,
                explain=args.explain,
                forced_tier=tier,
                request_features=dict(args.say),
            )
        except UnavailableError as error:
            raise UnavailableError(
                f"no server answers at {address}; {START_HINT}"
            ) from error


def said(word: str) -> tuple[str, float]:
    """Returns name and value of NAME=VALUE; the server knows which there are."""
    name, _, value = word.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{word!r}, must be NAME=VALUE with a number, such as local_hour=20"
        ) from None


def as_json(answer: Answer) -> dict[str, Any]:
    """Returns the answer as plain values; enums by name."""
    served = asdict(answer.served_by)
    served["tier"] = answer.served_by.tier.name
    served["reasons"] = [reason.name for reason in answer.served_by.reasons]
    return {
        "request_id": answer.request_id,
        "items": [asdict(item) for item in answer.items],
        "served_by": served,
    }


def print_answer(answer: Answer, user_id: str, console: Console) -> None:
    """Prints the items, what they were made of, and where the time went."""
    console.print(_items_table(answer, user_id))
    scores = [item.score for item in answer.items]
    if scores != sorted(scores, reverse=True):
        console.print("[dim]the order weighs variety too: scores need not fall[/dim]")
    served = answer.served_by
    console.print(
        f"[bold]{served.tier.name}[/bold] of release {served.release_id}"
        + (f", index {served.index_id}" if served.index_id else "")
        + f", {served.server_us / 1e3:.2f} ms in the server"
        + f" ({served.queue_us / 1e3:.2f} ms of it waiting)"
    )
    for line in _remarks(served):
        console.print(f"  {line}")
    if served.stage_us:
        console.print(_stages_table(served))


def _items_table(answer: Answer, user_id: str) -> Table:
    table = Table(title=f"for user {user_id}", title_justify="left")
    table.add_column("#", justify="right", style="dim")
    table.add_column("item")
    table.add_column("name")
    table.add_column("score", justify="right")
    explained = any(item.source_ranks or item.objectives for item in answer.items)
    if explained:
        table.add_column("sources (rank in each)", style="cyan")
        table.add_column("objectives", style="dim")
    for place, item in enumerate(answer.items, 1):
        more = _explained(item) if explained else ()
        table.add_row(str(place), item.item_id, item.name, f"{item.score:.4f}", *more)
    return table


def _explained(item: Recommendation) -> tuple[str, str]:
    ranks = sorted(item.source_ranks.items(), key=lambda pair: pair[1])
    sources = ", ".join(f"{source} {rank + 1}" for source, rank in ranks)
    values = sorted(item.objectives.items())
    return sources, ", ".join(f"{name} {value:.3f}" for name, value in values)


def _remarks(served: ServedBy) -> list[str]:
    lines = [
        f"{reason.name}: {_meaning(reason)}" if _meaning(reason) else reason.name
        for reason in served.reasons
    ]
    if served.cached_slate_age_ms is not None:
        lines.append(
            f"the user's own last slate, {served.cached_slate_age_ms / 1e3:.1f} s old"
        )
    if served.coverage < 1:
        lines.append(f"{served.coverage:.0%} of the asked sources answered")
    lines += [f"default used for {name}" for name in served.defaulted_features]
    lines += [
        f"{name} is {age / 3.6e6:.1f} h old at the request's event time"
        for name, age in sorted(served.feature_age_ms.items())
    ]
    if Reason.STALE_FEATURES in served.reasons:
        lines += [
            f"the writer of {name} was level with the log {age / 1e3:.0f} s ago"
            for name, age in sorted(served.writer_age_ms.items())
        ]
    return lines


def _meaning(reason: Reason) -> str:
    if reason.name.startswith("DEADLINE_"):
        stage = reason.name.removeprefix("DEADLINE_").lower()
        return f"{stage} was late; the rest was done with less"
    if reason.name.startswith("BREAKER_"):
        dependency = reason.name.removeprefix("BREAKER_").lower()
        return f"the {dependency} does not answer and was left out"
    return _MEANINGS.get(reason, "")


def _stages_table(served: ServedBy) -> Table:
    order = ("hydrate", "retrieval", "features", "ranking", "reranking", "popular")
    known = [name for name in order if name in served.stage_us]
    names = known + sorted(set(served.stage_us) - set(known))
    total = max(sum(served.stage_us.values()), 1)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    begin = 0
    for name in names:
        spent = served.stage_us[name]
        bar = Bar(total, begin, begin + spent, width=_BAR_WIDTH, color="cyan")
        table.add_row(name, bar, f"{spent / 1e3:.2f} ms")
        begin += spent
    return table
