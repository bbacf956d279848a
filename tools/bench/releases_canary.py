"""Bad canaries on the demo's release, part of benchmark `releases`: S3, by a server.

One process at 0.7 C0, the demo's users, 5 % of them on a canary that is made of the
live release and a fault. What users do with the answers is not played here: a canary
that is worse by that is benchmark `guardrails`, which also counts false alarms.
"""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

import generator
from bench.releases_swaps import LOAD, Amounts, capacity
from bench.releases_world import ReleaseWorld, release_world
from bench.report import BenchRow, at_most
from bench.retrieval_figures import say
from bench.serving_processes import RankerUnderTest, ServedRelease
from generator import generate, start
from lanes import Lane, recommend_lane
from open_loop import poisson
from stepwell.base.metric_names import CANARY_ANSWERS
from stepwell.releases.rollout import Rollout
from stepwell_pb.v1 import admin_pb2

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file.
    import bad_canary_main  # noqa: F401

FAULTS = {
    "twice the work": "slow:2",
    "scores that are no numbers": "nan",
    "a crash at 1 % of its requests": "crash:0.01",
}
NO_FAULT = "slow:1"
SHARE_PPM = 50_000
MAX_S, MAX_ANSWERS = 30.0, 500
_SCRIPT = Path(generator.__file__).with_name("bad_canary_main.py")
_WARM_S, _BEFORE_S, _LOOK_AGAIN_S = 5.0, 2.0, 0.1
_DEADLINE_MS = 1_000


class _WithBadCanaries(RankerUnderTest):
    """A ranker whose releases after the first have the fault that a flag names."""

    script = _SCRIPT


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a canary under load.

    Attributes:
        reason: for which it was taken down; "" when it was not.
        seconds: from when it was on trial to then, or to the end.
        num_answers: that guardrails had judged it by.
        num_failed: calls without an answer, of the whole run.
        void: why the run means nothing, "" when it does.
    """

    reason: str
    seconds: float
    num_answers: int
    num_failed: int
    void: str = ""

    @property
    def in_time(self) -> bool:
        """Taken down within 500 answers or 30 s, whichever is later."""
        soon = self.seconds <= MAX_S or self.num_answers <= MAX_ANSWERS
        return bool(self.reason) and soon and not self.void


def canary_rows(
    served: ServedRelease, scratch: Path, amounts: Amounts
) -> list[BenchRow]:
    """Returns the rows of each fault, and that of a canary that has none.

    Args:
        served: the live release.
        scratch: for everything that is made.
        amounts: how long a canary is on trial.
    """
    rate, rows = amounts.fixed_rate, list[BenchRow]()
    for what, fault in FAULTS.items():
        with _world(served, scratch, fault) as world:
            if rate is None:
                rate = LOAD * capacity(world, served.user_ids(), amounts)
            trial = _tried(world, served, rate, amounts.trial_s)
        say(f"{what}: {trial}")
        rows += rows_of(what, trial)
    assert rate is not None
    with _world(served, scratch, NO_FAULT) as world:
        trial = _tried(world, served, rate, amounts.trial_s)
    work = f"canary of 5 % as good as live, {trial.num_answers} answers: taken down"
    return [*rows, at_most(work, float(bool(trial.reason)), "times", 0)]


def rows_of(what: str, trial: Trial) -> list[BenchRow]:
    """Returns the verdict on a canary that has a fault."""
    work = f"canary of 5 %, {what}: taken down for {trial.reason or 'nothing'}"
    return [
        BenchRow(
            f"{work}{', void: ' + trial.void if trial.void else ''}",
            trial.seconds,
            "s",
            bar=f"<= {MAX_S:g} s or <= {MAX_ANSWERS} answers",
            holds=trial.in_time,
            also={"answers": trial.num_answers},
        ),
        at_most(
            f"canary of 5 %, {what}: calls without an answer",
            trial.num_failed,
            "calls",
            0,
        ),
    ]


@contextmanager
def _world(served: ServedRelease, scratch: Path, fault: str) -> Iterator[ReleaseWorld]:
    folder = scratch / fault.replace(":", "-")
    folder.mkdir()
    flags = ("--workers=1", f"--canary_fault={fault}")
    with release_world(
        served, folder, flags=flags, ranker_type=_WithBadCanaries
    ) as world:
        world.publish(1)
        yield world


def _tried(
    world: ReleaseWorld, served: ServedRelease, rate: float, seconds: float
) -> Trial:
    lane = recommend_lane("callers", served.user_ids(), deadline_ms=_DEADLINE_MS)
    generate(world.ranker.address, poisson(rate, _WARM_S, 1), [lane])
    return _under_load(world, lane, rate, seconds)


def _under_load(world: ReleaseWorld, lane: Lane, rate: float, seconds: float) -> Trial:
    serial, pause = world.ready.popleft(), Event()
    schedule = poisson(rate, 2 * _BEFORE_S + seconds, 2)
    with start(world.ranker.address, schedule, [lane]) as load:
        pause.wait(_BEFORE_S)
        Rollout(world.registry, world.key).canary(serial, SHARE_PPM)
        world.look()
        began, reason = time.monotonic(), ""
        while not reason and time.monotonic() - began < seconds:
            pause.wait(_LOOK_AGAIN_S)
            reason = _veto(world, serial)
        took_s = time.monotonic() - began
        num_answers = int(_metric(world.ranker.metrics_address, CANARY_ANSWERS.name))
        run = load.wait()
    failed = int((~run.ok()).sum())
    return Trial(reason, took_s, num_answers, failed, run.void)


def _veto(world: ReleaseWorld, serial: int) -> str:
    view = world.admin.ListReleases(admin_pb2.ListReleasesRequest())
    found = [one.reason for one in view.vetoes if one.serial == serial]
    return found[0] if found else ""


def _metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        text = page.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )
