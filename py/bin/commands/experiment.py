"""`./stepwell experiment`: experiments checked, told and judged."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from commands import experiment_report, experiment_simulate
from stepwell.base.errors import StepwellError
from stepwell.experiments.assigner import Assigner
from stepwell.experiments.assignment import NUM_BUCKETS, Layer
from stepwell.experiments.experiment_file import read_layers
from stepwell.pipeline.overrides import OVERRIDABLE, PlanOverrides

_EXPLAINED = """\
Experiments are a JSON file that the server follows (serve --experiments FILE): layers
with a salt each, in a layer experiments with buckets of their own, in an experiment
arms that override settings of the tier FULL. Every answer's impression names the arms
of its user; the report reads them from the event log."""

_EXAMPLES = """\
examples:  ./stepwell experiment validate experiments.json
           ./stepwell experiment describe experiments.json --user 1
           ./stepwell experiment report wide-search --file experiments.json
           ./stepwell experiment simulate --aa 1000 --json
See docs/experiments.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `experiment`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    validate = actions.add_parser("validate", help="is a file right, field by field?")
    describe = actions.add_parser("describe", help="what runs, and who is in it")
    describe.add_argument(
        "--user", metavar="ID", help="also say which arms they are in"
    )
    for action in (validate, describe):
        action.add_argument("file", type=Path, metavar="FILE")
        action.add_argument("--json", action="store_true", help="print one JSON line")
    report = actions.add_parser("report", help="what an experiment found")
    experiment_report.add_arguments(report)
    simulation = actions.add_parser(
        "simulate", help="how often the tests are wrong, and how soon they see"
    )
    experiment_simulate.add_arguments(simulation)


def run(args: argparse.Namespace) -> int:
    """Does what was asked; returns 1 for a file or a log that cannot be used."""
    try:
        return _ACTIONS[args.action](args)
    except (StepwellError, OSError) as error:
        print(f"experiment {args.action}: {error}", file=sys.stderr)
        return 1


def _validate(args: argparse.Namespace) -> int:
    layers = read_layers(args.file, PlanOverrides.of)
    number = sum(len(layer.experiments) for layer in layers)
    if args.json:
        print(json.dumps({"layers": len(layers), "experiments": number}))
    else:
        print(f"{args.file}: {number} experiments in {len(layers)} layers, all right")
    return 0


def _describe(args: argparse.Namespace) -> int:
    layers = read_layers(args.file, PlanOverrides.of)
    facts: dict[str, Any] = {"layers": [_layer_facts(layer) for layer in layers]}
    if args.user is not None:
        facts["user"] = user_facts(layers, args.user)
    print(json.dumps(facts) if args.json else text_of(facts))
    return 0


def _layer_facts(layer: Layer) -> dict[str, Any]:
    taken = sum(one.end_bucket - one.first_bucket for one in layer.experiments)
    return {
        "name": layer.name,
        "salt": layer.salt,
        "free_buckets": NUM_BUCKETS - taken,
        "experiments": [
            {
                "name": one.name,
                "buckets": [one.first_bucket, one.end_bucket],
                "arms": [
                    {
                        "name": arm.name,
                        "share": arm.num_buckets / NUM_BUCKETS,
                        "overrides": dict(arm.overrides),
                    }
                    for arm in one.arms
                ],
            }
            for one in layer.experiments
        ],
    }


def user_facts(layers: tuple[Layer, ...], user_id: str) -> dict[str, Any]:
    """Returns a user's arms and what they change, as JSON has it."""
    assigned = Assigner(layers, PlanOverrides.of).assign(user_id)
    treatment = assigned.treatment
    return {
        "user_id": user_id,
        "exposures": [one._asdict() for one in assigned.exposures],
        "overrides": treatment.values() if treatment is not None else {},
    }


def text_of(facts: dict[str, Any]) -> str:
    """Returns a description for people."""
    lines = []
    for layer in facts["layers"]:
        free = layer["free_buckets"] / NUM_BUCKETS
        lines.append(
            f"layer {layer['name']} (salt {layer['salt']}, {free:.2%} of users free)"
        )
        for one in layer["experiments"]:
            first, end = one["buckets"]
            lines.append(f"  {one['name']}: buckets {first} to {end - 1}")
            lines += [
                f"    {arm['name']:<16} {arm['share']:>7.2%}  "
                f"{_changes(arm['overrides'])}"
                for arm in one["arms"]
            ]
    if "user" in facts:
        lines += ["", *_user_lines(facts["user"])]
    if not facts["layers"]:
        lines.append("no layer; settings that an arm may change:")
        lines += [f"  {name} {low:g}..{high:g}" for name, (low, high) in _settings()]
    return "\n".join(lines)


def _user_lines(user: dict[str, Any]) -> list[str]:
    arms = [
        f"  {one['experiment']}: {one['arm']} (bucket {one['bucket']})"
        for one in user["exposures"]
    ]
    named = f"user {user['user_id']}"
    if not arms:
        return [f"{named} is in no experiment"]
    return [f"{named}: {_changes(user['overrides'])}", *arms]


def _changes(overrides: dict[str, float]) -> str:
    named = ", ".join(f"{name}={value:g}" for name, value in overrides.items())
    return named or "as it is"


def _settings() -> list[tuple[str, tuple[float, float]]]:
    return sorted(OVERRIDABLE.items())


_ACTIONS = {
    "validate": _validate,
    "describe": _describe,
    "report": experiment_report.run,
    "simulate": experiment_simulate.run,
}
