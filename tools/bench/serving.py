"""Benchmark `serving`: every tier over gRPC on the demo's release, server on one core.

The server has one core, the client another. Tiers and the peer are asked in turns, in
blocks, one request at a time, so that a machine that drifts drifts for all of them. The
peer is what a team would glue together (see serving_peer), on the same core in the same
run: it shows what plain ranking of as many candidates costs, without this server's
sources, features, re-ranking, policy and log. Users are drawn from the release's own,
seeded.
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import BenchRow, ratio_to_best
from bench.serving_load import ClosedLoop, Samples, Sequential
from bench.serving_processes import (
    Cores,
    Peer,
    RankerUnderTest,
    ServedRelease,
    cpu_seconds,
    pinned,
    running_peer,
)
from project_state import DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.client.types import Tier
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.pipeline.planner import FULL_SHAPE, REDUCED_SHAPE

SEED = 20_171_126
PEER = "glued stack"
TIERS = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)
NUM_CLIENTS = 4
NUM_TURNS = 3

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is asked.

    Attributes:
        num_blocks, block: sequential requests a tier, num_blocks * block.
        loop_seconds: each of the closed loop's three turns.
        num_restarts: kills.
        num_users: drawn; two thirds of them are asked for at each tier.
    """

    num_blocks: int = 20
    block: int = 50
    loop_seconds: float = 3.0
    num_restarts: int = 3
    num_users: int = 300


QUICK = Amounts(num_blocks=4, loop_seconds=0.5, num_restarts=1)


@dataclass(slots=True)
class Figures:
    """What one server showed; the peer has one tier.

    Attributes:
        samples: sequential requests by tier.
        full_cpu_ms: processor time of all requests in samples[FULL].
        loop: several callers at once.
    """

    samples: dict[Tier, Samples] = field(default_factory=dict)
    full_cpu_ms: float = 0.0
    loop: ClosedLoop = field(default_factory=ClosedLoop)


def measure(quick: bool = False, state: ProjectState | None = None) -> list[Row]:
    """Returns the rows of the benchmark; about 70 s, quick about 20 s.

    Args:
        quick: fewer requests.
        state: whose newest release is served; default: the demo's own data set.
    Raises:
        NotFoundError: there is no release; names the command that makes one.
    """
    state = state or ProjectState(project_root(), DEFAULT_DATA_SET)
    served = ServedRelease.newest(state)
    amounts, cores = QUICK if quick else Amounts(), Cores.available()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = stack.enter_context(running_peer(served, scratch / "peer", cores.server))
        ranker = RankerUnderTest(served, scratch / "ranker", cores.server)
        stack.enter_context(closing(ranker))
        stack.enter_context(pinned(cores.client))
        users = _users(served, amounts.num_users)
        ours, theirs = _asked(ranker, peer, users, amounts)
        restarts = [ranker.restart_after_kill() for _ in range(amounts.num_restarts)]
    restart = f"SIGKILL, then from start to SERVING, slowest of {len(restarts)}"
    rows = [
        *_full_rows(ours, theirs, peer.num_parameters),
        *_tier_rows(ours),
        *_load_rows(ours, theirs),
        _limited(restart, max(restarts), "s", 5.0),
    ]
    return [asdict(row) for row in rows]


def _users(served: ServedRelease, num_users: int) -> list[str]:
    state = UserStateFile.load(served.user_state)
    ids = [user_id for batch in state.batches(1_000) for user_id in batch]
    return random.Random(SEED).sample(sorted(ids), min(num_users, len(ids)))


def _asked(
    ranker: RankerUnderTest, peer: Peer, users: Sequence[str], amounts: Amounts
) -> tuple[Figures, Figures]:
    """Asks both servers, in turns."""
    ours, theirs = Figures(), Figures()
    _ask_one_by_one(ranker, peer, users, amounts, ours, theirs)
    for _ in range(NUM_TURNS):
        ours.loop.add(ranker.address, users, NUM_CLIENTS, amounts.loop_seconds)
        theirs.loop.add(peer.address, users, NUM_CLIENTS, amounts.loop_seconds)
    return ours, theirs


def _ask_one_by_one(
    ranker: RankerUnderTest,
    peer: Peer,
    users: Sequence[str],
    amounts: Amounts,
    ours: Figures,
    theirs: Figures,
) -> None:
    """Fills the figures of sequential requests."""
    third = len(users) // 3
    first, last = users[: 2 * third], users[third:]
    with ExitStack() as stack:

        def lane_of(address: str, tier: Tier) -> Sequential:
            # Half of POPULAR's users were asked for at another tier and have a slate in
            # memory, the other half do not.
            asked = last if tier is Tier.POPULAR else first
            lane = stack.enter_context(closing(Sequential(address, asked, tier)))
            lane.warm_up(amounts.block)
            return lane

        lanes = {tier: lane_of(ranker.address, tier) for tier in TIERS}
        peer_lane = lane_of(peer.address, Tier.UNSPECIFIED)
        for _ in range(amounts.num_blocks):
            ours.full_cpu_ms += _cpu_ms_of(ranker.pid, lanes[Tier.FULL], amounts.block)
            theirs.full_cpu_ms += _cpu_ms_of(peer.pid, peer_lane, amounts.block)
            lanes[Tier.REDUCED].ask(amounts.block)
            lanes[Tier.POPULAR].ask(amounts.block)
        ours.samples = {tier: lane.samples for tier, lane in lanes.items()}
        theirs.samples = {Tier.FULL: peer_lane.samples}


def _cpu_ms_of(pid: int, lane: Sequential, num_requests: int) -> float:
    """Asks; returns the processor time that the server took for it."""
    before = cpu_seconds(pid)
    lane.ask(num_requests)
    return (cpu_seconds(pid) - before) * 1e3


def _full_rows(ours: Figures, theirs: Figures, num_parameters: int) -> list[BenchRow]:
    full, peer = ours.samples[Tier.FULL], theirs.samples[Tier.FULL]
    work = (
        f"FULL, {FULL_SHAPE.num_candidates} candidates, {len(full.seen_ms):,} "
        f"sequential requests, as the caller sees it (peer: {num_parameters:,} "
        f"parameters as ours; no features from history, no re-ranking, no log)"
    )
    rows = []
    for text, percentile, limit_ms in ((work, 50, 8.0), ("the same", 99, 20.0)):
        theirs_ms = {PEER: _percentile(peer.seen_ms, percentile)}
        seen_ms = _percentile(full.seen_ms, percentile)
        unit = f"ms p{percentile}"
        rows.append(_limited(text, seen_ms, unit, limit_ms, theirs_ms))
    retrieval_ms = _percentile(full.retrieval_ms, 99)
    rows.append(_limited("FULL, retrieval stage", retrieval_ms, "ms p99", 10.0))
    cpu_ms = ours.full_cpu_ms / len(full.seen_ms)
    peers = {PEER: theirs.full_cpu_ms / len(peer.seen_ms)}
    rows.append(
        BenchRow(
            "FULL, processor time of a request",
            cpu_ms,
            "ms mean",
            peers,
            ratio_to_best(cpu_ms, peers, lower_is_better=True),
        )
    )
    return rows


def _tier_rows(ours: Figures) -> list[BenchRow]:
    full, reduced, popular = (ours.samples[tier] for tier in TIERS)
    cached = popular.num_cached / len(popular.seen_ms)
    full_ms, reduced_ms = (_percentile(s.server_ms, 50) for s in (full, reduced))
    return [
        _limited(
            f"POPULAR, server time ({cached:.0%} from the user's own slate)",
            _percentile(popular.server_ms, 99),
            "ms p99",
            1.0,
        ),
        _limited(
            f"REDUCED, {REDUCED_SHAPE.num_candidates} candidates: median server time "
            f"{reduced_ms:.2f} ms over FULL's {full_ms:.2f} ms",
            reduced_ms / full_ms,
            "ratio",
            0.40,
        ),
        *(
            BenchRow(
                f"{tier.name}, as the caller sees it",
                _percentile(ours.samples[tier].seen_ms, percentile),
                f"ms p{percentile}",
            )
            for tier in (Tier.REDUCED, Tier.POPULAR)
            for percentile in (50, 99)
        ),
    ]


def _load_rows(ours: Figures, theirs: Figures) -> list[BenchRow]:
    loop, peer = ours.loop, theirs.loop
    shares = ", ".join(
        f"{tier.name} {number / loop.tiers.total():.0%}"
        for tier, number in sorted(loop.tiers.items())
    )
    peers = {PEER: peer.rate}
    return [
        BenchRow(
            f"{NUM_CLIENTS} callers that wait for their answers, tier by the ladder "
            f"({shares}; errors {loop.num_errors}, peer's {peer.num_errors})",
            loop.rate,
            "answers/s",
            peers,
            ratio_to_best(loop.rate, peers, lower_is_better=False),
        )
    ]


def _limited(
    work: str,
    ours: float,
    unit: str,
    limit: float,
    peers: Mapping[str, float] | None = None,
) -> BenchRow:
    """A row that holds while `ours` is at most `limit`."""
    peers = dict(peers or {})
    ratio = ratio_to_best(ours, peers, lower_is_better=True)
    bar = f"<= {limit:g} {unit}"
    return BenchRow(work, ours, unit, peers, ratio, bar, ours <= limit)


def _percentile(samples: Sequence[float], percentile: int) -> float:
    return float(np.percentile(samples, percentile))
