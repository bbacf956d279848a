"""Benchmark of the guardrails: false alarms, and how soon a bad canary is found out.

Simulated: seeded runs of a made-up site (bench.guardrails_world), whose outcomes the
guardrails that serve look at every second. False alarms are those of canaries that are
as good as live. A fault is found in time when it takes 500 answers of the canary or 30
seconds, whichever is later.

How few answers can do is arithmetic: to tell a tenth fewer responses from chance takes
a test made for one look some 18 / 0.1^2 times the squared coefficient of variation of a
slate's responses, 2,400 answers at one response a slate. And in 4 of 100 times 500
answers of which 1 % crash there are no two crashes. Hence nine tenths in time.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.guardrails_world import Fault, Site, World
from bench.report import BenchRow, at_least, at_most
from stepwell.experiments.guardrails import verdict

NUM_PROCESSES = 2
ALARM_SECONDS, FAULT_SECONDS = 120, 300
_FEW_ANSWERS, _SOON_SECONDS = 500, 30
_MAX_ALARMS, _MIN_IN_TIME = 0.01, 0.9

SITES = {
    "20,000 users, 400 requests/s, 1 response a slate": Site(),
    "2,500 users, 400 requests/s, 1 response a slate": Site(num_users=2_500),
    "100,000 users, 2,000 requests/s, 3 responses a slate": Site(
        num_users=100_000, rate=2_000.0, responses=3.0
    ),
    "20,000 users, 400 requests/s, no outages": Site(outages=0.0),
}
_USUAL, _SMALL, _BUSY, _CALM = SITES

FAULTS = (
    (_USUAL, "twice the latency", Fault(slowness=2.0)),
    (_USUAL, "no finite score", Fault(non_finite=1.0)),
    (_CALM, "crashes at 1 %", Fault(crashes=0.01)),
    (_USUAL, "scores shifted by one deviation", Fault(score_shift=1.0)),
    (_USUAL, "popular slates only", Fault(degraded=1.0)),
    (_BUSY, "a tenth fewer responses", Fault(fewer_responses=0.1)),
)
SLOW_FAULTS = (
    (_USUAL, "crashes at 1 %", Fault(crashes=0.01)),
    (_USUAL, "short slates at 10 %", Fault(short=0.1)),
    (_BUSY, "short slates at 10 %", Fault(short=0.1)),
    (_USUAL, "a tenth fewer responses", Fault(fewer_responses=0.1)),
    (_USUAL, "a quarter fewer responses", Fault(fewer_responses=0.25)),
)
"""What takes longer, by that arithmetic or because an outage has both fail: rows that
only inform."""


@dataclass(frozen=True, slots=True)
class Found:
    """When a run's canary was taken down."""

    seconds: int
    num_answers: int
    reason: str

    @property
    def in_time(self) -> bool:
        """Within 500 answers or 30 s, whichever is later."""
        return self.seconds <= _SOON_SECONDS or self.num_answers <= _FEW_ANSWERS


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Returns the rows of the benchmark; some 10 minutes, quick half a minute."""
    num_runs = 50 if quick else 1_000
    with ProcessPoolExecutor(NUM_PROCESSES) as pool:
        rows = [
            *(_alarms(pool, name, num_runs) for name in SITES),
            *(_row(pool, *fault, num_runs // 10, informs=False) for fault in FAULTS),
            *(_row(pool, *f, num_runs // 10, informs=True) for f in SLOW_FAULTS),
        ]
    return [asdict(row) for row in rows]


def played(site: Site, fault: Fault, num_seconds: int, seed: int) -> Found | None:
    """Plays one run; returns None where the canary was left alone to its end."""
    looks: Iterable[Any] = World(site, fault, seed).seconds(num_seconds)
    for number, (live, canary) in enumerate(looks, 1):
        found = verdict(live, canary)
        if not found.is_ok:
            return Found(number, canary.num_answers, found.reason)
    return None


def _runs(
    pool: ProcessPoolExecutor, site: Site, fault: Fault, seconds: int, number: int
) -> Iterator[Found | None]:
    play = partial(played, site, fault, seconds)
    return pool.map(play, range(number), chunksize=5)


def _alarms(pool: ProcessPoolExecutor, name: str, num_runs: int) -> BenchRow:
    found = list(_runs(pool, SITES[name], Fault(), ALARM_SECONDS, num_runs))
    share = sum(one is not None for one in found) / num_runs
    work = f"A/A canary of 5 % taken down in {ALARM_SECONDS} s, {num_runs} runs; {name}"
    return at_most(work, share, "share", _MAX_ALARMS)


def _row(
    pool: ProcessPoolExecutor,
    name: str,
    what: str,
    fault: Fault,
    num_runs: int,
    *,
    informs: bool,
) -> BenchRow:
    runs = list(_runs(pool, SITES[name], fault, FAULT_SECONDS, num_runs))
    found = [one for one in runs if one is not None]
    share = sum(one.in_time for one in found) / num_runs
    work = f"{what}: found within 500 answers or 30 s, {num_runs} runs; {name}"
    also = {"found at all": len(found) / num_runs}
    for unit, values in (
        ("answers", [one.num_answers for one in found]),
        ("s", [one.seconds for one in found]),
    ):
        for permille in (500, 950) if found else ():
            name_of = f"{unit} p{permille // 10}"
            also[name_of] = float(np.quantile(values, permille / 1_000))
    if informs:
        return BenchRow(work, share, "share", also=also)
    row = at_least(work, share, "share", _MIN_IN_TIME)
    return BenchRow(work, share, "share", bar=row.bar, holds=row.holds, also=also)
