"""The open loop of `./stepwell load`: calibrates, drives a scenario, judges the run."""

import argparse
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace

from capacity import Capacity, CapacityOptions, calibrate
from commands.load_users import LoadUsers
from generator import generate
from load_run import LoadRun
from open_loop import trace
from report import Report
from scenarios import SCENARIOS, Fault, Setting, Work
from slo import (
    HEAVY_LANE,
    INTERACTIVE_LANE,
    NEED_CAPACITY,
    SECONDS_AFTER_TROUBLE,
    Situation,
    findings,
)
from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError

_CALM_SHARE = 0.5
_FAULT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was asked to do.

    Attributes:
        args: of the command.
        address: of the server.
        users: who is asked for.
        progress: told of every step.
    """

    args: argparse.Namespace
    address: str
    users: LoadUsers
    progress: Callable[[str], None]


def run_open_loop(asked: Asked) -> Report:
    """Runs one scenario and returns its report.

    Raises:
        UnavailableError: nobody answers at the address.
        InvalidArgumentError: the scenario needs what was not given.
    """
    args = asked.args
    _refuse_unjudgeable(args)
    multiple, relative = args.rate or (0.0, False)
    capacity = None
    if relative or args.slo in NEED_CAPACITY:
        capacity = _calibrated(asked)
    rate = multiple * capacity.full if relative and capacity else multiple
    setting = _setting(asked, rate, capacity)
    work = _work(args, setting)
    asked.progress(f"{args.scenario}: {len(work.schedule)} calls in {args.seconds:g} s")
    calm = _calm_run(asked, setting) if args.slo == "heavy" else None
    run = generate(asked.address, work.schedule, work.lanes, events=work.events)
    situation = Situation(args.budget_ms, capacity, trouble=work.trouble, calm=calm)
    return _report(args, rate, run, situation)


def _refuse_unjudgeable(args: argparse.Namespace) -> None:
    """Says before the run, not after it, that its limits would judge nothing."""
    # A tenth of a call a second shows the shape of the scenario.
    shape = _work(args, Setting(0.1, args.seconds, ["nobody"], fault=_fault(args)))
    least_s = SECONDS_AFTER_TROUBLE.get(args.slo, 0.0)
    lanes = {lane.name for lane in shape.lanes}
    wanted = {"priorities": INTERACTIVE_LANE, "heavy": HEAVY_LANE}.get(args.slo)
    if least_s and shape.trouble is None:
        raise InvalidArgumentError(
            f"--slo {args.slo} needs a scenario with trouble in it, such as spike",
            "slo",
        )
    if shape.trouble is not None and args.seconds - shape.trouble[1] < least_s:
        raise InvalidArgumentError(
            f"--slo {args.slo} judges what comes after the middle third: --seconds is "
            f"{args.seconds:g}, must be >= {3 * least_s:g}",
            "seconds",
        )
    if wanted is not None and wanted not in lanes:
        raise InvalidArgumentError(
            f"--slo {args.slo} needs calls of the kind {wanted}; --scenario "
            f"{args.scenario} makes {sorted(lanes)}",
            "slo",
        )


def _report(
    args: argparse.Namespace, rate: float, run: LoadRun, situation: Situation
) -> Report:
    what = f"trace {args.trace.name}" if args.trace else args.scenario
    at = f"{args.rate[0]:g}x" if args.rate and args.rate[1] else f"{rate:.0f}/s"
    return Report(
        title=f"{what}, {at}, {args.seconds:g} s" if rate else what,
        run=run,
        situation=situation,
        slo=args.slo or "",
        findings=tuple(findings(args.slo, run, situation)) if args.slo else (),
        facts={"seed": str(args.seed), "deadline": f"{args.deadline_ms} ms"},
    )


def _calibrated(asked: Asked) -> Capacity:
    options = CapacityOptions(
        budget_ms=asked.args.budget_ms,
        seed=asked.args.seed,
        progress=lambda text: asked.progress(f"calibration: {text}"),
    )
    return calibrate(asked.address, asked.users.user_ids, options)


def _setting(asked: Asked, rate: float, capacity: Capacity | None) -> Setting:
    args = asked.args
    return Setting(
        rate=rate,
        seconds=args.seconds,
        user_ids=asked.users.user_ids,
        item_ids=asked.users.item_ids,
        calm_rate=_CALM_SHARE * capacity.full if capacity else 0.0,
        deadline_ms=args.deadline_ms,
        priorities=args.priorities,
        fault=_fault(args),
        seed=args.seed,
    )


def _fault(args: argparse.Namespace) -> Fault | None:
    if not (args.fault_begin and args.fault_end):
        return None
    return Fault(_command(args.fault_begin), _command(args.fault_end))


def _work(args: argparse.Namespace, setting: Setting) -> Work:
    if args.trace:
        # The shape is the trace's own; the lanes are those of a steady load.
        lanes = SCENARIOS["steady"].build(replace(setting, rate=1.0)).lanes
        schedule = trace(args.trace)
        if len(schedule) and int(schedule.lane.max()) >= len(lanes):
            raise InvalidArgumentError(
                f"{args.trace} names lane {int(schedule.lane.max())}, --priorities "
                f"makes {len(lanes)}",
                "trace",
            )
        return Work(schedule, lanes)
    try:
        return SCENARIOS[args.scenario].build(setting)
    except InvalidArgumentError as error:
        if error.field != "fault":
            raise
        raise InvalidArgumentError(
            f"--scenario {args.scenario} needs --fault-begin and --fault-end, such as "
            '--fault-begin "kill -STOP 4711" --fault-end "kill -CONT 4711"',
            "fault",
        ) from error


def _calm_run(asked: Asked, setting: Setting) -> LoadRun:
    """The same rate without the trouble, for limits that compare."""
    work = SCENARIOS["steady"].build(setting)
    return generate(asked.address, work.schedule, work.lanes)


def _command(text: str) -> Callable[[], object]:
    words = shlex.split(text)

    def act() -> None:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_FAULT_SECONDS, check=False
        )
        if done.returncode:
            raise FailedPreconditionError(
                f"{text!r} ended with {done.returncode}: {done.stderr.strip()}"
            )

    return act
