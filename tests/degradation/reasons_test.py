"""Every reason: a fault that gives exactly it, its counter, and its line in the log."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import ANSWERS, DEGRADATION_REASONS
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import PolicyOptions
from stepwell.degradation.trim import TrimOptions
from stepwell.serving.call import WIRE_OF_TIER
from stepwell.serving.tiny_ranker_fixture import (
    OPTIONS,
    STALE_USER,
    RunningRanker,
    running_ranker,
)
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

KNOWN_USER = "ann"
BUDGET_US = OPTIONS.ladder.latency_budget_us
Strike = Callable[[RunningRanker], None]


def _late(stage: str, budget_share: float) -> Strike:
    def strike(ranker: RunningRanker) -> None:
        ranker.faults.delays_us[stage] = int(BUDGET_US * budget_share)

    return strike


def _down(stage: str) -> Strike:
    def strike(ranker: RunningRanker) -> None:
        ranker.faults.errors[stage] = UnavailableError("gone")

    return strike


def _in_part(ranker: RunningRanker) -> None:
    """One shard of a source does not answer."""
    ranker.faults.shares["trending"] = 0.75


def _nothing(ranker: RunningRanker) -> None:
    """No fault: the request or the settings are the cause."""


@dataclass(frozen=True)
class _Case:
    reason: Reason
    tier: Tier
    strike: Strike = _nothing
    user: str = KNOWN_USER
    forced: Tier | None = None
    policy: PolicyOptions = OPTIONS.ladder.policy
    fit_ppm: int | None = None
    logged: bool = True
    requests_before: int = 0


EXERCISE_ALL = PolicyOptions(probe_ppm=0, exercise_ppm=1_000_000)
PROBE_ALL = PolicyOptions(probe_ppm=1_000_000, exercise_ppm=0)
SLOW_FULL = _late("ranking_full", 0.65)

CASES = [
    _Case(Reason.BACKLOG, Tier.REDUCED, SLOW_FULL, fit_ppm=500_000, requests_before=2),
    _Case(
        Reason.PROBE,
        Tier.REDUCED,  # one step up from POPULAR, which alone fits
        policy=PROBE_ALL,
        fit_ppm=500,
        logged=False,
    ),
    _Case(Reason.DEADLINE_HYDRATE, Tier.REDUCED, _late("hydrate", 0.3)),
    _Case(Reason.DEADLINE_RETRIEVAL, Tier.REDUCED, _late("retrieval", 0.6)),
    _Case(Reason.DEADLINE_FEATURES, Tier.REDUCED, _late("features", 0.75)),
    _Case(Reason.DEADLINE_RANKING, Tier.REDUCED, _late("ranking_full", 0.95)),
    _Case(Reason.DEADLINE_RERANKING, Tier.FULL, _late("reranking", 1.1)),
    _Case(Reason.BREAKER_STORE, Tier.POPULAR, _down("hydrate")),
    _Case(Reason.BREAKER_INDEX, Tier.POPULAR, _down("retrieval")),
    _Case(Reason.BREAKER_EMBEDDINGS, Tier.POPULAR, _down("ranking_full")),
    _Case(Reason.STALE_FEATURES, Tier.FULL, user=STALE_USER),
    _Case(Reason.MISSING_USER, Tier.FULL, user="stranger", logged=False),
    _Case(Reason.SHARD_COVERAGE, Tier.FULL, _down("trending")),
    _Case(Reason.SHARD_COVERAGE, Tier.FULL, _in_part),
    _Case(Reason.EXERCISE, Tier.REDUCED, policy=EXERCISE_ALL, logged=False),
    _Case(Reason.FORCED, Tier.REDUCED, forced=Tier.REDUCED, logged=False),
]


async def _ask(ranker: RunningRanker, case: _Case) -> recommend_pb2.RecommendResponse:
    request = recommend_pb2.RecommendRequest(user_id=case.user, num_items=5)
    if case.forced is not None:
        request.forced_tier = WIRE_OF_TIER[case.forced]
    answer: recommend_pb2.RecommendResponse = await ranker.recommend.Recommend(request)
    return answer


async def _know_a_user(ranker: RunningRanker) -> None:
    event = feedback_pb2.Event(
        event_id="e",
        user_id=KNOWN_USER,
        item_id="item-9",
        event_type=common_pb2.EVENT_TYPE_PURCHASE,
    )
    await ranker.feedback.LogEvents(feedback_pb2.LogEventsRequest(events=[event]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason.label)
async def test_a_fault_gives_exactly_its_reason(case: _Case, tmp_path: Path) -> None:
    ladder = replace(OPTIONS.ladder, policy=case.policy)
    if case.fit_ppm is not None:
        trim = TrimOptions(low_ppm=case.fit_ppm, high_ppm=case.fit_ppm)
        ladder = replace(ladder, initial_fit_ppm=case.fit_ppm, trim=trim)
    async with running_ranker(tmp_path, replace(OPTIONS, ladder=ladder)) as ranker:
        await _know_a_user(ranker)
        case.strike(ranker)
        for _ in range(case.requests_before):
            await _ask(ranker, replace(case, policy=ladder.policy))
        before = ranker.metrics.value(DEGRADATION_REASONS, case.reason.label)
        with capture_logs() as lines:
            answer = await _ask(ranker, case)
        assert list(answer.served_by.reasons) == [int(case.reason)]
        assert answer.served_by.tier == WIRE_OF_TIER[case.tier]
        assert answer.items
        counted = ranker.metrics.value(DEGRADATION_REASONS, case.reason.label)
        assert counted == before + 1
        assert ranker.metrics.value(ANSWERS, case.tier.label) >= 1
        degraded = [line["reason"] for line in lines if line["event"] == "degraded"]
        assert degraded == ([case.reason.label] if case.logged else [])


def test_every_reason_has_a_case() -> None:
    # No answer carries NO_RELEASE: without a release there is no answer. It has its
    # own test, in no_release_test.py.
    assert {case.reason for case in CASES} == set(Reason) - {Reason.NO_RELEASE}
