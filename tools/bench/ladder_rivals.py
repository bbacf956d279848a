"""O10: the same ranker at three times C0 without its ladder, by three ways of others.

FULL for every call and nothing else; FULL with a cap on the calls that a process has
taken in; FULL behind Envoy's adaptive concurrency. All get the same arrivals, in turns.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.ladder_plan import Lengths
from bench.ladder_runs import BUDGET_MS, Rig, not_void, tier_text
from bench.report import BenchRow, ratio_to_best
from bench.retrieval_figures import say
from bench.serving_processes import RankerUnderTest, ServedRelease
from envoy_process import ADAPTIVE_CONCURRENCY, envoy_before
from generator import generate
from lanes import Lane, recommend_lane
from load_run import LoadRun
from open_loop import poisson
from stepwell.client.types import Tier

OURS, PLAIN, CAPPED, ENVOY = "stepwell", "no ladder", "cap in flight", "behind Envoy"
OVERLOAD = 3.0
OVER_PLAIN, OVER_ENVOY = 2.0, 1.3
_MAX_WAITING = 2
_SEED = 3_000

Servers = Mapping[str, tuple[str, Lane]]


def rival_rows(
    rig: Rig,
    ranker: RankerUnderTest,
    served: ServedRelease,
    lengths: Lengths,
    scratch: Path,
) -> list[BenchRow]:
    """Returns the rows of O10.

    Args:
        rig, ranker: our server, its settings and its capacity.
        served: what both rankers serve.
        lengths: of a turn, and how many.
        scratch: an empty folder.
    """
    with _servers(ranker, served, rig.config, scratch) as servers:
        runs: dict[str, list[LoadRun]] = {name: [] for name in servers}
        for turn in range(lengths.turns):
            for name, (address, lane) in servers.items():
                rate = OVERLOAD * rig.capacity.full
                schedule = poisson(rate, lengths.turn, _SEED + turn)
                run = not_void(partial(generate, address, schedule, [lane]))
                runs[name].append(run)
                rig.tick(lengths.turn)
                say(f"O10, {name}: {tier_text(run)}")
    return rows_of(runs, lengths.turn)


def rows_of(runs: Mapping[str, list[LoadRun]], seconds: float) -> list[BenchRow]:
    """Returns the rows; by contestant, runs of so many seconds each."""
    goodput = {
        name: float(np.mean([run.in_budget(BUDGET_MS).sum() / seconds for run in own]))
        for name, own in runs.items()
    }
    errors = {
        name: float(np.mean([(~run.ok()).mean() for run in own]))
        for name, own in runs.items()
    }
    ours, peers = goodput.pop(OURS), goodput
    our_errors = errors.pop(OURS)
    good = ours >= OVER_PLAIN * peers[PLAIN] and ours >= OVER_ENVOY * peers[ENVOY]
    return [
        BenchRow(
            f"O10, {OVERLOAD:g} x C0: answered within {BUDGET_MS:g} ms",
            ours,
            "calls/s",
            peers,
            ratio_to_best(ours, peers, lower_is_better=False),
            f">= {OVER_PLAIN:g} x {PLAIN}, {OVER_ENVOY:g} x {ENVOY}",
            good,
        ),
        BenchRow(
            f"O10, {OVERLOAD:g} x C0: errors",
            our_errors,
            "share",
            errors,
            bar="<= 0 share",
            holds=our_errors == 0,
        ),
    ]


@contextmanager
def _servers(
    ranker: RankerUnderTest,
    served: ServedRelease,
    config: Mapping[str, Any],
    scratch: Path,
) -> Iterator[Servers]:
    users = served.user_ids()
    free, full = (
        recommend_lane("free", users),
        recommend_lane("full", users, tier=Tier.FULL),
    )
    with ExitStack() as stack:
        capped_config = {**config, "queue": {"max_size": _MAX_WAITING}}
        capped = RankerUnderTest(
            served, scratch / "capped", capped_config, ("--workers=2",)
        )
        stack.enter_context(closing(capped))
        envoy = stack.enter_context(
            envoy_before(ranker.port, [ADAPTIVE_CONCURRENCY], scratch)
        )
        yield {
            OURS: (ranker.address, free),
            PLAIN: (ranker.address, full),
            CAPPED: (capped.address, full),
            ENVOY: (envoy.address, full),
        }
