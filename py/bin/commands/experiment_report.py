"""`./stepwell experiment report`: what an experiment found, out of the event log."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import experiment_plot
from log_command import add_log_arguments, line_progress
from project_state import ProjectState, project_root
from stepwell.base.errors import InvalidArgumentError, NotFoundError, check_range
from stepwell.experiments.experiment_file import read_layers
from stepwell.experiments.exposed_slates import GUARDRAILS
from stepwell.experiments.panel import LookOptions
from stepwell.experiments.report import (
    Comparison,
    Estimate,
    ExperimentReport,
    ReportOptions,
    report_of,
)
from stepwell.feedback.experiment_log import DEFAULT_WINDOW_SECONDS, read_experiment
from stepwell.pipeline.overrides import PlanOverrides
from stepwell.stores.locations import open_event_log

EXPLAINED = """\
Reads who was in which arm out of the impressions, joins the clicks and purchases that
name their requests, and puts every arm beside the control: per slate, with users as the
units. A server may run.

"change" is the plain difference, CUPED the one adjusted by what each user did before
the experiment, with the part of the variance that this leaves. "once" is the interval
of a single look that was planned beforehand; "always" and p, of the adjusted one, hold
however often one looks (mSPRT). Exit code 1 where the arms are not of the size they
were dealt: then nothing else is to be believed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `experiment report`."""
    parser.description = EXPLAINED
    add_log_arguments(parser)
    parser.add_argument("name", metavar="NAME", help="of the experiment")
    parser.add_argument(
        "--file",
        type=Path,
        help="of the experiments: says which arms there are, and how large",
    )
    parser.add_argument("--control", default="", metavar="ARM", help="default: control")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="the experiment began then: ISO 8601, UTC, or seconds",
    )
    parser.add_argument(
        "--window",
        type=int,
        default=DEFAULT_WINDOW_SECONDS,
        metavar="SECONDS",
        help="a reaction comes within (default: %(default)s)",
    )
    parser.add_argument(
        "--alpha", type=float, default=0.05, help="false alarms allowed (%(default)s)"
    )
    parser.add_argument(
        "--effect",
        type=float,
        default=0.05,
        help="that should be found soonest, in parts of the metric (%(default)s)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FOLDER",
        help="write charts over time as SVG there",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Reads, judges and tells; returns 1 where the sample ratio is off."""
    check_range("--window", args.window, 1, 10**9)
    for name, value in (("--alpha", args.alpha), ("--effect", args.effect)):
        if not 0.0 < value < 1.0:
            raise InvalidArgumentError(f"{name} is {value}, must be in (0, 1)", name)
    since = 0 if args.since is None else seconds_of(args.since)
    options = ReportOptions(
        control=args.control,
        shares={} if args.file is None else _shares(args.file, args.name),
        looks=LookOptions(args.alpha, args.effect),
    )
    state = ProjectState(project_root(), args.data)
    with (
        closing(open_event_log(args.event_log or str(state.event_log))) as log,
        line_progress("reading", quiet=args.json) as on_progress,
    ):
        slates = read_experiment(
            log, args.name, args.window, partial(on_progress, "reading"), since
        )
    report = report_of(slates, options)
    if args.plot is not None:
        experiment_plot.write(report, args.name, args.plot)
    print(json.dumps(facts_of(report)) if args.json else text_of(report))
    return 1 if report.has_mismatch else 0


def seconds_of(time: str) -> int:
    """Returns unix seconds; InvalidArgumentError where it is no time."""
    if time.isdecimal():
        return int(time)
    try:
        said = datetime.fromisoformat(time)
    except ValueError as error:
        raise InvalidArgumentError(f"--since: {error}", "since") from error
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())


def _shares(path: Path, name: str) -> Mapping[str, float]:
    """Buckets by arm."""
    layers = read_layers(path, PlanOverrides.of)
    found = {one.name: one for layer in layers for one in layer.experiments}
    if name not in found:
        known = ", ".join(found) or "none"
        raise NotFoundError(f"{path} has no experiment {name!r}; it has {known}")
    return {arm.name: arm.num_buckets for arm in found[name].arms if arm.num_buckets}


def facts_of(report: ExperimentReport) -> dict[str, Any]:
    """Returns the report as JSON has it; what is not known is null."""
    return {
        "control": report.control,
        "alpha": report.alpha,
        "arms": [
            {"name": arm.name, "users": arm.num_users, "slates": arm.num_slates}
            for arm in report.arms
        ],
        "users_in_several_arms": report.num_crossed,
        "sample_ratio_p": report.sample_ratio_p_value,
        "sample_ratio_mismatch": report.has_mismatch,
        "comparisons": [_comparison_facts(one) for one in report.comparisons],
    }


def _comparison_facts(one: Comparison) -> dict[str, Any]:
    last = one.looks[-1]
    return {
        "arm": one.arm,
        "metric": one.metric,
        "is_guardrail": one.metric in GUARDRAILS,
        "control": _known(one.control_value),
        "value": _known(one.value),
        "effect": _known(one.at_end.effect),
        "relative": _known(one.relative),
        "always_valid": {
            "p": last.p_value,
            "half_width": _known(last.half_width),
            "looks": len(one.looks),
        },
        "once": _estimate_facts(one.at_end),
        "cuped": _estimate_facts(one.adjusted),
        "variance_kept": one.variance_kept,
        "is_worse": one.is_worse,
    }


def _estimate_facts(one: Estimate) -> dict[str, float | None]:
    return {
        "effect": _known(one.effect),
        "half_width": _known(one.half_width),
        "p": _known(one.p_value),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def text_of(report: ExperimentReport) -> str:
    """Returns the report for people."""
    sizes = ", ".join(
        f"{arm.name} {arm.num_users:,} users with {arm.num_slates:,} slates"
        for arm in report.arms
    )
    lines = [f"arms: {sizes}", _ratio_line(report)]
    if report.num_crossed:
        lines.append(f"left out: {report.num_crossed:,} users seen in several arms")
    for arm in report.arms[1:]:
        mine = [one for one in report.comparisons if one.arm == arm.name]
        if not mine:
            continue  # nobody was seen in it
        lines += ["", f"{arm.name} against {report.control}", *_table(mine, report)]
        lines += [
            f"WORSE: {one.metric}, always-valid p {one.looks[-1].p_value:.2g}"
            for one in mine
            if one.is_worse
        ]
    return "\n".join(lines)


def _ratio_line(report: ExperimentReport) -> str:
    if report.sample_ratio_p_value is None:
        return "sample ratio: not known, --file says how the arms were dealt"
    said = f"sample ratio: p {report.sample_ratio_p_value:.3g}"
    if not report.has_mismatch:
        return f"{said}, as dealt"
    return f"{said}: MISMATCH. The arms are not as dealt; believe nothing below"


def _table(mine: Sequence[Comparison], report: ExperimentReport) -> list[str]:
    level = f"{1 - report.alpha:.0%}"
    heading = ("per slate", "control", "arm", "change", f"{level} once", "CUPED")
    rows: list[tuple[str, ...]] = [
        (*heading, f"{level} once", f"{level} always", "p", "variance")
    ]
    for one in mine:
        base, last = one.control_value, one.looks[-1]
        rows.append(
            (
                one.metric,
                *(f"{value:.4g}" for value in (base, one.value)),
                _percent(one.at_end.effect, base),
                _width(one.at_end.half_width, base),
                _percent(one.adjusted.effect, base),
                _width(one.adjusted.half_width, base),
                _width(last.half_width, base),
                f"{last.p_value:.2g}",
                f"{one.variance_kept:.2f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]


def _percent(effect: float, base: float) -> str:
    return f"{effect / base:+.2%}" if base and math.isfinite(effect) else "-"


def _width(half: float, base: float) -> str:
    return f"± {half / abs(base):.2%}" if base and math.isfinite(half) else "-"
