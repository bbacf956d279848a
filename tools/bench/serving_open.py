"""Open-loop part of benchmark `serving`: our ranker and the stacks of others, in turns.

All do the same work on the generated release: the user's blob from Redis, the nearest
500 items of 100,000, a DLRM of 26 tables over them, the best 50. What each reaches is
searched side by side, a step of each in turn, so that a machine that drifts drifts for
all. Overload is then three times what each reached itself.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from bench.open_step import Contestant, Step, step, step_seconds
from bench.report import BenchRow, at_least, at_most, ratio_to_best
from bench.retrieval_figures import say
from bench.serving_peer_files import PeerFiles
from bench.serving_processes import (
    PeerSetup,
    RankerUnderTest,
    ServedRelease,
    fill_peer_users,
    running_peer,
)
from bench.serving_release import BenchRelease, bench_release
from bench.serving_spec import QUICK, ReleaseSpec
from bench.serving_users import user_id
from envoy_process import ADAPTIVE_CONCURRENCY, envoy_before
from lanes import Lane, recommend_lane
from rate_search import SearchOptions, Verdict, highest_rate, take_turns
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Tier
from stepwell.stores.redis_server_fixture import redis_server

OURS = "stepwell"
PLAIN, CAPPED, ENVOY = "glued stack", "2 processes, 3 in flight", "behind Envoy"
BUDGET_MS, TIGHT_MS = 50.0, 20.0
NUM_ITEMS = 50
OVERLOAD = 3.0
LIGHT = 0.7
_CAP = 3
_PATIENT_MS = 1_000
_DEADLINE_MS = 200
_WARM_UP_RATE = 20.0
_FIRST_RATE, _LOWEST_RATE = 40.0, 4.0
_OVER_PLAIN = 3.0
_MAX_CPU_MS = 3.0
_MIN_IN_BUDGET = 0.999

Clock = Callable[[], float]

_ANN_ONLY: dict[str, Any] = {"diversity_lambda": 0.0}
CONFIG: dict[str, Any] = {
    "latency_budget_ms": int(BUDGET_MS),
    "scorer": {"precision": "int8"},
    "tiers": {
        "full": _ANN_ONLY
        | {"num_candidates": 500, "ef_search": 500, "source_limits": {"ann": 500}},
        "reduced": _ANN_ONLY
        | {"num_candidates": 120, "ef_search": 120, "source_limits": {"ann": 120}},
    },
}
"""Our ranker does the peer's work: one source, no re-ranking for diversity. Its weights
are int8; the rows say how many of the peer's items it gives all the same."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long is asked.

    Attributes:
        shortest, longest: seconds of a search's step.
        precision: of the rate that a search finds, as a ratio.
        steady: seconds of the other steps.
    """

    shortest: float = 3.0
    longest: float = 8.0
    precision: float = 1.04
    steady: float = 15.0


_QUICK_LENGTHS = Lengths(1.0, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class OpenFigures:
    """What the open-loop part showed, by contestant.

    Attributes:
        capacity: highest rate with 99 % answered within BUDGET_MS.
        tight: the same within TIGHT_MS; of ours and the plain peer.
        light: at LIGHT of that rate, which is C0; at LIGHT of its capacity where a
            server holds TIGHT_MS at no rate.
        overload: at OVERLOAD times its own capacity, by the server's own ways.
        overlap: mean share of the peer's items among ours, of the same users.
        num_parameters: of the peer's model.
        num_items: of the catalogue.
    """

    capacity: Mapping[str, float]
    tight: Mapping[str, float]
    light: Mapping[str, Step]
    overload: Mapping[str, Step]
    overlap: float
    num_parameters: int
    num_items: int = ReleaseSpec().num_items


def open_rows(root: Path, quick: bool) -> list[BenchRow]:
    """Returns the rows; about 8 minutes, quick 2.

    Args:
        root: of the project; the generated release is kept below it.
        quick: a small release and short steps: the rows show that it works, no more.
    """
    spec = QUICK if quick else ReleaseSpec()
    lengths = _QUICK_LENGTHS if quick else Lengths()
    with Progress(transient=True) as progress:
        made = bench_release(root, spec, progress)
    with contestants(made) as (servers, num_parameters):
        found = _measured(servers, lengths, num_parameters)
    return rows_of(replace(found, num_items=spec.num_items))


@contextmanager
def contestants(made: BenchRelease) -> Iterator[tuple[list[Contestant], int]]:
    """Runs our ranker and its rivals over the generated release, with one Redis.

    Yields:
        Our ranker first, and the number of parameters of the peer's model.
    """
    served = ServedRelease.generated(made)
    files = PeerFiles.of(made)
    with ExitStack() as stack:
        scratch = made.state.folder / "run"
        stack.enter_context(_scratch(scratch))
        # A feature store is a cache of what training made: it needs no log on disk.
        store = stack.enter_context(
            redis_server(scratch / "redis", ("--appendonly", "no"))
        )
        fill_peer_users(made, store.url)
        ranker = RankerUnderTest(
            served, scratch / "ranker", CONFIG, ("--workers=2",), store.url
        )
        stack.enter_context(closing(ranker))
        setup = PeerSetup(made.release, files, store.url)
        plain = stack.enter_context(running_peer(setup))
        capped = stack.enter_context(running_peer(setup, 2, _CAP))
        envoy = stack.enter_context(
            envoy_before(plain.port, [ADAPTIVE_CONCURRENCY], scratch)
        )
        users = served.user_ids()
        lane = _lane(users, Tier.UNSPECIFIED, _PATIENT_MS)
        full = _lane(users, Tier.FULL, _PATIENT_MS)
        free = _lane(users, Tier.UNSPECIFIED, _DEADLINE_MS)

        def peer(name: str, address: str, cpu_seconds: Clock) -> Contestant:
            return Contestant(name, address, cpu_seconds, lane, free)

        ours = Contestant(
            OURS, ranker.address, ranker.cpu_seconds, full, free, Tier.FULL
        )
        yield (
            [
                ours,
                peer(PLAIN, plain.address, plain.cpu_seconds),
                peer(CAPPED, capped.address, capped.cpu_seconds),
                peer(ENVOY, envoy.address, plain.cpu_seconds),
            ],
            plain.num_parameters,
        )


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lane(users: list[str], tier: Tier, deadline_ms: int) -> Lane:
    return recommend_lane(
        "recommend", users, num_items=NUM_ITEMS, tier=tier, deadline_ms=deadline_ms
    )


def _measured(
    servers: list[Contestant], lengths: Lengths, num_parameters: int
) -> OpenFigures:
    by_name = {server.name: server for server in servers}
    seeds = iter(range(1, 100_000))
    overlap = mean_overlap(by_name[OURS].address, by_name[PLAIN].address)
    for server in servers:
        step(server, _WARM_UP_RATE, lengths.shortest, next(seeds))

    def searched(names: Iterable[str], budget_ms: float) -> dict[str, float]:
        def measure(name: str, rate: float) -> Verdict:
            server = by_name[name]
            seconds = step_seconds(rate, lengths.shortest, lengths.longest)
            found = step(server, rate, seconds, next(seeds))
            p99 = found.run.summary(budget_ms)["p99_ms"]
            say(f"{name}, {rate:.0f}/s: p99 {p99:.1f} ms {found.run.void}")
            return found.verdict(budget_ms, server.tier)

        options = SearchOptions(precision=lengths.precision, lowest=_LOWEST_RATE)
        searches = {name: highest_rate(_FIRST_RATE, options) for name in names}
        return take_turns(searches, measure)

    capacity = searched(by_name, BUDGET_MS)
    tight = searched((OURS, PLAIN), TIGHT_MS)
    light = {
        name: step(by_name[name], LIGHT * rate, lengths.steady, next(seeds))
        for name in (OURS, PLAIN)
        if (rate := tight[name] or capacity[name])
    }
    overload = {
        name: step(
            server,
            OVERLOAD * capacity[name],
            lengths.steady,
            next(seeds),
            server.free_lane,
        )
        for name, server in by_name.items()
        if capacity[name]
    }
    return OpenFigures(capacity, tight, light, overload, overlap, num_parameters)


def mean_overlap(ours: str, theirs: str, num_users: int = 100) -> float:
    """Returns the mean share of the other server's items that ours gives at FULL."""
    options = ClientOptions(deadline_ms=_PATIENT_MS)
    shares = []
    clients = RecommendClient(ours, options), RecommendClient(theirs, options)
    with clients[0], clients[1]:
        for number in range(num_users):
            mine, his = (
                {item.item_id for item in answer.items}
                for answer in (
                    client.recommend(user_id(number), NUM_ITEMS, forced_tier=Tier.FULL)
                    for client in clients
                )
            )
            shares.append(len(mine & his) / max(len(his), 1))
    return float(np.mean(shares))


def rows_of(found: OpenFigures) -> list[BenchRow]:
    """Returns the rows; a server that held no rate has none in its columns."""
    return [*_capacity_rows(found), *_light_rows(found), *_overload_rows(found)]


def _capacity_rows(found: OpenFigures) -> list[BenchRow]:
    peers = _of_peers(found.capacity)
    best = max(peers.values())
    work = (
        f"{found.num_items:,} items, {found.num_parameters:,} parameters, 500 "
        f"candidates, best 50; highest rate with p99 <= {BUDGET_MS:g} ms, FULL (items "
        f"as the peer's: {found.overlap:.0%})"
    )
    tight = f"the same, p99 <= {TIGHT_MS:g} ms (0: at none)"
    tight_peers = _of_peers(found.tight)
    return [
        BenchRow(
            work,
            found.capacity[OURS],
            "calls/s",
            peers,
            ratio_to_best(found.capacity[OURS], peers, lower_is_better=False),
            f">= {_OVER_PLAIN:g} x the best peer",
            found.capacity[OURS] >= _OVER_PLAIN * best,
        ),
        BenchRow(
            tight,
            found.tight[OURS],
            "calls/s",
            tight_peers,
            ratio_to_best(found.tight[OURS], tight_peers, lower_is_better=False),
        ),
    ]


def _light_rows(found: OpenFigures) -> list[BenchRow]:
    if OURS not in found.light:
        return [at_least("FULL holds no rate", 0.0, "calls/s", 1.0)]
    own = f"at {LIGHT:g} x C0, the rate with p99 <= {TIGHT_MS:g} ms"
    if not found.tight.get(PLAIN):
        own += f"; {PLAIN} has none: {LIGHT:g} of its highest rate"
    p99 = {n: s.run.summary(BUDGET_MS)["p99_ms"] for n, s in found.light.items()}
    cpu = {name: one.cpu_ms for name, one in found.light.items()}
    return [
        at_most(f"FULL {own}", p99[OURS], "ms p99", TIGHT_MS, _of_peers(p99)),
        at_most(
            f"FULL {own}: processor time of the server a request",
            cpu[OURS],
            "ms mean",
            _MAX_CPU_MS,
            _of_peers(cpu),
        ),
    ]


def _overload_rows(found: OpenFigures) -> list[BenchRow]:
    if OURS not in found.overload:
        return []
    facts = {n: s.run.summary(BUDGET_MS) for n, s in found.overload.items()}
    in_budget = {name: fact["in_budget"] for name, fact in facts.items()}
    errors = {name: fact["error_share"] for name, fact in facts.items()}
    goodput = {n: fact["goodput"] / found.capacity[n] for n, fact in facts.items()}
    tiers = ", ".join(
        f"{tier} {share:.0%}" for tier, share in facts[OURS]["tiers"].items()
    )
    own = f"at {OVERLOAD:g} x its own highest rate"
    return [
        at_least(
            f"{own}: answered within {BUDGET_MS:g} ms ({tiers})",
            in_budget[OURS],
            "share",
            _MIN_IN_BUDGET,
            _of_peers(in_budget),
        ),
        at_most(f"{own}: errors", errors[OURS], "share", 0.0, _of_peers(errors)),
        BenchRow(
            f"{own}: answered in time, in units of that rate",
            goodput[OURS],
            "ratio",
            _of_peers(goodput),
            ratio_to_best(goodput[OURS], _of_peers(goodput), lower_is_better=False),
        ),
    ]


def _of_peers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != OURS}
