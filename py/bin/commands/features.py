"""`./stepwell features`: the catalogue of what is stored of users and items."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from commands import features_audit, features_replay_log
from stepwell.base.errors import StepwellError
from stepwell.schema.feature_registry import REGISTRY
from stepwell.schema.feature_view import Feature, FeatureService, FeatureView

_EXPLAINED = """\
Prints the catalogue of features: whose they are, who writes them, how fresh they must
be, and what stands in for them when they are not."""

_EXAMPLES = """\
examples:  ./stepwell features list
           ./stepwell features describe user_activity
           ./stepwell features list --json
           ./stepwell features replay-log
           ./stepwell features audit --plot charts
See docs/features.md."""

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `features`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every view, and the services of models")
    describe = actions.add_parser("describe", help="one view and its features")
    describe.add_argument("view", metavar="VIEW", help="a name of `features list`")
    replay = actions.add_parser("replay-log", help="is the store what the log makes?")
    features_replay_log.add_arguments(replay)
    audit = actions.add_parser("audit", help="was what was served what it should be?")
    features_audit.add_arguments(audit)
    for action in (listing, describe):
        action.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Does what was asked; returns 1 for an unknown view, with the nearest name.

    Also where a replay finds a difference, or where something cannot be read.
    """
    try:
        return _ACTIONS[args.action](args)
    except (StepwellError, OSError) as error:
        print(f"features {args.action}: {error}", file=sys.stderr)
        return 1


def _list(args: argparse.Namespace) -> int:
    if args.json:
        views = [view_facts(view) for view in REGISTRY.views]
        services = [_service_facts(service) for service in REGISTRY.services]
        print(json.dumps({"views": views, "services": services}))
    else:
        print(list_text())
    return 0


def _describe(args: argparse.Namespace) -> int:
    view = REGISTRY.view(args.view)
    print(json.dumps(view_facts(view)) if args.json else view_text(view))
    return 0


_ACTIONS = {
    "list": _list,
    "describe": _describe,
    "replay-log": features_replay_log.run,
    "audit": features_audit.run,
}


def view_facts(view: FeatureView) -> dict[str, Any]:
    """Returns a view as JSON has it."""
    return {
        "name": view.name,
        "entity": view.entity.name,
        "id_field": view.entity.id_field,
        "source": view.source.value,
        "ttl_seconds": view.ttl_seconds,
        "freshness_seconds": view.freshness_seconds,
        "when_stale": view.when_stale.value,
        "schema_hash": view.schema_hash(),
        "row_bytes": None if view.has_lists else view.row_dtype.itemsize,
        "description": view.description,
        "features": [_feature_facts(feature) for feature in view.features],
    }


def _feature_facts(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "dtype": feature.dtype,
        "length": feature.length,
        "default": feature.default,
        "low": feature.low,
        "high": feature.high,
        "meaning": feature.meaning,
    }


def _service_facts(service: FeatureService) -> dict[str, Any]:
    return {
        "name": service.name,
        "views": [view.name for view in service.views],
        "schema_hash": service.schema_hash(),
    }


def list_text() -> str:
    """Returns what `features list` prints."""
    heading = (
        "view",
        "entity",
        "source",
        "features",
        "ttl",
        "writer",
        "when stale",
        "schema",
    )
    rows = [
        (
            view.name,
            view.entity.name,
            view.source.value,
            str(len(view.features)),
            span(view.ttl_seconds),
            span(view.freshness_seconds),
            view.when_stale.value,
            view.schema_hash()[:16],
        )
        for view in REGISTRY.views
    ]
    services = [
        f"service {service.name}, schema {service.schema_hash()[:16]}: "
        + ", ".join(view.name for view in service.views)
        for service in REGISTRY.services
    ]
    return "\n".join([*_aligned([heading, *rows]), "", *services])


def view_text(view: FeatureView) -> str:
    """Returns what `features describe` prints."""
    size = "as its codec packs it"
    if not view.has_lists:
        size = f"{view.row_dtype.itemsize} bytes behind the header"
    writer = "none that must live"
    if view.freshness_seconds:
        writer = f"{span(view.freshness_seconds)}: how old its watermark may be"
    facts = (
        ("entity", f"{view.entity.name}, by {view.entity.id_field}"),
        ("source", view.source.value),
        ("ttl", f"{span(view.ttl_seconds)}: how old the row may be, by event time"),
        ("writer", writer),
        ("when stale", view.when_stale.value),
        ("row", size),
        ("schema", view.schema_hash()),
    )
    heading = ("feature", "type", "default", "range", "meaning")
    features = [
        (
            feature.name,
            _type(feature),
            f"{feature.default:g}",
            f"{feature.low:.4g} to {feature.high:.4g}",
            feature.meaning,
        )
        for feature in view.features
    ]
    head = f"{view.name}: {view.description}"
    return "\n".join([head, *_aligned(facts), "", *_aligned([heading, *features])])


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _type(feature: Feature) -> str:
    if feature.length == 1:
        return feature.dtype
    return f"{feature.dtype} x {feature.length or 'any'}"


def span(seconds: int) -> str:
    """Returns a span of time in its largest whole unit, such as "90 d"; "-" for 0."""
    if not seconds:
        return "-"
    for size, unit in _UNITS:
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
