"""`./stepwell features audit`: was what was served what the log and training say?"""

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from commands import features_audit_plots
from log_command import (
    add_log_arguments,
    add_user_state_argument,
    line_progress,
    user_state_of,
)
from project_state import ProjectState, project_root
from registry_command import release_serial
from registry_release import complete_release, live_serial
from skew_audit import AuditReport, SkewAudit, ViewFacts
from skew_release import AuditedRelease
from stepwell.base.errors import FailedPreconditionError
from stepwell.features.skew import SkewTable
from stepwell.features.skew_profile import LARGE_SHIFT, MODERATE_SHIFT, shift_of
from stepwell.schema.events import history_types_of
from stepwell.stores.locations import open_event_log

EXPLAINED = """\
Compares what was served with what it should have been, for impressions of the event log
that keep what they read (--replayable_share of the server):
  rows     of users and items, against the log folded up to the row's own last event
  vectors  of the items shown, against the log folded up to the impression: what an
           updater that lags costs is in them
  shift    of the features of the items shown, against those of training, by PSI
Exit code 1 where a row differs, where a vector does though nothing lagged, or where
nothing could be recomputed. Nothing is changed; a server may run.

The store must have begun with the state that --user-state names, which is the one of
the last training unless you say otherwise."""

_MAX_LINES = 15
_QUANTILES = (0.5, 0.9, 0.99, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `features audit`."""
    parser.description = EXPLAINED
    add_log_arguments(parser)
    parser.add_argument(
        "--registry", type=Path, metavar="FOLDER", help="published releases"
    )
    parser.add_argument(
        "--release",
        type=release_serial,
        metavar="ID",
        help="whose answers (default: the live release)",
    )
    add_user_state_argument(parser)
    parser.add_argument(
        "--impressions",
        type=int,
        default=1_000,
        metavar="N",
        help="look at so many, drawn at random (default: %(default)s)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FOLDER", help="write charts as SVG there"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Audits and tells; returns 0 where nothing differs but by lag, else 1."""
    if not 1 <= args.impressions <= 100_000:
        raise FailedPreconditionError(
            f"--impressions is {args.impressions}, must be in [1, 100000]"
        )
    state = ProjectState(project_root(), args.data)
    registry = args.registry or state.registry
    serial = args.release or live_serial(registry)
    folder, manifest = complete_release(registry, serial)
    release = AuditedRelease.load(folder, manifest.release_id)
    with closing(open_event_log(args.event_log or str(state.event_log))) as log:
        audit = SkewAudit(
            log,
            release,
            user_state_of(args, state),
            history_types_of(manifest.metadata.models),
            args.impressions,
        )
        with line_progress("reading", "folding", quiet=args.json) as on_progress:
            report = audit.run(on_progress)
    if args.plot is not None:
        features_audit_plots.write(report, args.plot)
    print(json.dumps(facts_of(report)) if args.json else text_of(report))
    return 0 if report.is_clean else 1


def facts_of(report: AuditReport) -> dict[str, Any]:
    """Returns the report as JSON has it."""
    shift = report.shift
    return {
        "release_id": report.release_id,
        "num_impressions": report.num_impressions,
        "num_other_releases": report.num_other_releases,
        "num_replayable": report.num_replayable,
        "num_sampled": report.num_sampled,
        "refused": report.refused,
        "views": {name: _view_facts(view) for name, view in report.views.items()},
        "rows": _skew_facts(report.rows),
        "vectors": _skew_facts(report.vectors),
        "num_vectors": report.num_vectors,
        "num_vectors_different": report.num_vectors_different,
        "num_vectors_unexplained": report.num_unexplained,
        "shift": {
            "refused": shift.refused,
            "num_requests": shift.num_requests,
            "num_other_schema": shift.num_other_schema,
            "psi_of_no_change": shift.noise,
            "psi": shift.psi,
        },
        "is_clean": report.is_clean,
    }


def text_of(report: AuditReport) -> str:
    """Returns the report for people."""
    lines = [
        f"release {report.release_id}: {report.num_sampled:,} of "
        f"{report.num_replayable:,} impressions that keep what they read; "
        f"{report.num_impressions:,} in the log, "
        f"{report.num_other_releases:,} of other releases",
        "",
    ]
    if report.refused:
        lines += [f"rows and vectors NOT RECOMPUTED: {report.refused}", ""]
    else:
        lines += [*_view_lines(report), "", *_row_lines(report)]
        lines += ["", *_vector_lines(report), ""]
    return "\n".join([*lines, *_shift_lines(report)])


def _view_lines(report: AuditReport) -> list[str]:
    heading = (
        *("rows of", "served", "different", "no such state", "defaulted", "known"),
        *("behind", "age p50", "p90", "p99", "lag p50", "p99"),
    )
    rows = [heading]
    for name, view in report.views.items():
        ages = [f"{age:,.0f} s" for age in _quantiles(view.ages)[:3]]
        lags = _quantiles(view.lags_us)
        rows.append(
            (
                name,
                *(f"{n:,}" for n in (view.num_served, view.num_different)),
                *(f"{n:,}" for n in (view.num_unknown, view.num_defaulted)),
                *(f"{n:,}" for n in (view.num_known, view.num_behind)),
                *(ages or ("-", "-", "-")),
                *((f"{lags[i] / 1e3:,.0f} ms" for i in (0, 2)) if lags else "--"),
            )
        )
    return _aligned(rows)


def _row_lines(report: AuditReport) -> list[str]:
    num_features = len(report.rows.features)
    return [
        f"rows against the log, up to each row's own last event: "
        f"{len(report.rows.different)} of {num_features} features differ",
        *_skew_lines(report.rows),
    ]


def _vector_lines(report: AuditReport) -> list[str]:
    return [
        f"vectors against the log, up to the impression: "
        f"{report.num_vectors_different:,} of {report.num_vectors:,} shown items "
        f"differ, {report.num_unexplained:,} of them where nothing lagged",
        *_skew_lines(report.vectors),
    ]


def _skew_lines(table: SkewTable) -> list[str]:
    if not table.different:
        return []
    rows = [("  feature", "share", "mean difference", "greatest")]
    for name in table.different[:_MAX_LINES]:
        skew = table.features[name]
        size = f"{skew.mean_difference:.4g}", f"{skew.max_difference:.4g}"
        rows.append((f"  {name}", f"{skew.share:.2%}", *size))
    return [*_aligned(rows), *_more(len(table.different))]


def _shift_lines(report: AuditReport) -> list[str]:
    shift = report.shift
    if shift.refused:
        return [f"shift against training NOT KNOWN: {shift.refused}"]
    counts = dict.fromkeys(("stable", "moderate", "large"), 0)
    for psi in shift.psi.values():
        counts[shift_of(psi)] += 1
    shifted = [name for name, psi in shift.psi.items() if psi >= MODERATE_SHIFT]
    rows = [
        (f"  {name}", f"{shift.psi[name]:.3f}", shift_of(shift.psi[name]))
        for name in shifted[:_MAX_LINES]
    ]
    return [
        f"shift against training, PSI over {shift.num_requests:,} requests: "
        f"{counts['stable']} features below {MODERATE_SHIFT}, "
        f"{counts['moderate']} below {LARGE_SHIFT}, {counts['large']} above; "
        f"no change at all would show as {shift.noise:.3f}",
        *_aligned(rows),
        *_more(len(shifted)),
    ]


def _more(number: int) -> list[str]:
    left = number - _MAX_LINES
    return [f"  and {left} more, see --json"] if left > 0 else []


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def _quantiles(values: list[int]) -> list[float]:
    return np.quantile(values, _QUANTILES).tolist() if values else []


def _view_facts(view: ViewFacts) -> dict[str, Any]:
    names = [f"p{share * 100:g}" for share in _QUANTILES]
    return {
        "num_served": view.num_served,
        "num_different": view.num_different,
        "num_no_such_state": view.num_unknown,
        "num_defaulted": view.num_defaulted,
        "num_defaulted_known": view.num_known,
        "num_behind": view.num_behind,
        "age_seconds": dict(zip(names, _quantiles(view.ages), strict=False)),
        "lag_us": dict(zip(names, _quantiles(view.lags_us), strict=False)),
    }


def _skew_facts(table: SkewTable) -> dict[str, Any]:
    return {
        name: {
            "num_compared": skew.num_compared,
            "share_different": skew.share,
            "mean_difference": skew.mean_difference,
            "max_difference": skew.max_difference,
        }
        for name, skew in table.features.items()
    }
