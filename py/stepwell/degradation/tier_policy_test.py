"""The rule of the ladder as tables: snapshot in, decision out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import (
    MILLION,
    PolicyOptions,
    PolicySnapshot,
    TierCost,
    TierDecision,
    TierPolicy,
)

COSTS = {
    Tier.FULL: TierCost(p95_us=8_000, mean_us=6_000),
    Tier.REDUCED: TierCost(p95_us=3_000, mean_us=2_000),
    Tier.POPULAR: TierCost(p95_us=300, mean_us=200),
}
QUIET = PolicySnapshot(
    age_us=0, budget_us=20_000, deadline_us=100_000, num_waiting=0, costs=COSTS
)
PLAIN = TierDecision(Tier.FULL)


def _decide(snapshot: PolicySnapshot) -> TierDecision:
    return TierPolicy().decide(snapshot)


@pytest.mark.parametrize(
    ("age_us", "num_waiting", "expected"),
    [
        (0, 0, Tier.FULL),
        (2_000, 0, Tier.FULL),  # 2000 + 8000 = 10000 = f * budget
        (2_001, 0, Tier.REDUCED),
        (0, 1, Tier.FULL),  # 8000 + 1 * 2000
        (0, 2, Tier.REDUCED),  # 8000 + 2 * 2000 > 10000 >= 3000 + 2 * 200
        (0, 12, Tier.REDUCED),
        (0, 13, Tier.POPULAR),  # 13 * 200 > an eighth of the budget
        (4_600, 12, Tier.REDUCED),  # 4600 + 3000 + 12 * 200 = f * budget
        (4_601, 12, Tier.POPULAR),
        (7_001, 0, Tier.POPULAR),
        (99_999, 500, Tier.POPULAR),  # past the budget, not past the deadline
    ],
)
def test_takes_the_best_tier_that_fits_the_budget(
    age_us: int, num_waiting: int, expected: Tier
) -> None:
    decision = _decide(replace(QUIET, age_us=age_us, num_waiting=num_waiting))
    assert decision.tier is expected
    assert decision.reasons == (() if expected is Tier.FULL else (Reason.BACKLOG,))


@pytest.mark.parametrize("fit_ppm", [300_000, 500_000, 700_000])
def test_f_scales_what_may_be_planned(fit_ppm: int) -> None:
    limit = 20_000 * fit_ppm // MILLION
    just = replace(QUIET, fit_ppm=fit_ppm, age_us=limit - 3_000)
    assert _decide(just).tier is Tier.REDUCED
    assert _decide(replace(just, age_us=just.age_us + 1)).tier is Tier.POPULAR


BLOCKED_CASES = [
    ({Tier.FULL: Reason.BREAKER_INDEX}, Tier.REDUCED, (Reason.BREAKER_INDEX,)),
    (
        {Tier.FULL: Reason.BREAKER_STORE, Tier.REDUCED: Reason.BREAKER_STORE},
        Tier.POPULAR,
        (Reason.BREAKER_STORE,),
    ),
    (
        {Tier.FULL: Reason.BREAKER_INDEX, Tier.REDUCED: Reason.BREAKER_STORE},
        Tier.POPULAR,
        (Reason.BREAKER_INDEX, Reason.BREAKER_STORE),
    ),
]


@pytest.mark.parametrize(("blocked", "tier", "reasons"), BLOCKED_CASES)
def test_a_tier_with_a_dependency_down_is_skipped_and_named(
    blocked: dict[Tier, Reason], tier: Tier, reasons: tuple[Reason, ...]
) -> None:
    decision = _decide(replace(QUIET, blocked=blocked))
    assert decision == TierDecision(tier, reasons)


@pytest.mark.parametrize("forced", BEST_FIRST)
def test_a_forced_tier_may_take_all_of_the_deadline(forced: Tier) -> None:
    pressed = replace(QUIET, age_us=50_000, num_waiting=21, forced=forced)
    assert _decide(replace(pressed, forced=None)).tier is Tier.POPULAR
    assert _decide(pressed) == TierDecision(forced, (Reason.FORCED,))


@pytest.mark.parametrize(
    ("forced", "age_us", "num_waiting", "tier"),
    [
        (Tier.FULL, 50_000, 22, Tier.REDUCED),  # 50000 + 8000 + 22 * 2000 > 100000
        (Tier.FULL, 92_001, 0, Tier.REDUCED),
        (Tier.FULL, 97_001, 0, Tier.POPULAR),
        (Tier.REDUCED, 97_001, 0, Tier.POPULAR),
    ],
)
def test_a_forced_tier_that_would_be_late_is_not_honoured_and_says_so(
    forced: Tier, age_us: int, num_waiting: int, tier: Tier
) -> None:
    pressed = replace(QUIET, age_us=age_us, num_waiting=num_waiting, forced=forced)
    assert _decide(pressed) == TierDecision(tier, (Reason.FORCED, Reason.BACKLOG))


def test_a_forced_tier_that_is_down_falls_one_step_and_says_both() -> None:
    blocked = {Tier.FULL: Reason.BREAKER_STORE}
    decision = _decide(replace(QUIET, forced=Tier.FULL, blocked=blocked))
    assert decision.tier is Tier.REDUCED
    assert decision.reasons == (Reason.FORCED, Reason.BREAKER_STORE)


def test_without_a_release_nothing_is_served() -> None:
    expected = TierDecision(None, (Reason.NO_RELEASE,))
    assert _decide(replace(QUIET, has_release=False)) == expected


def test_an_expired_request_is_never_started() -> None:
    assert _decide(replace(QUIET, age_us=100_000)) == TierDecision(None)
    assert _decide(replace(QUIET, age_us=100_000, forced=Tier.POPULAR)).tier is None


EXERCISE_CASES = [
    (0, TierDecision(Tier.REDUCED, (Reason.EXERCISE,))),
    (4_999, TierDecision(Tier.REDUCED, (Reason.EXERCISE,))),
    (5_000, TierDecision(Tier.POPULAR, (Reason.EXERCISE,))),
    (9_999, TierDecision(Tier.POPULAR, (Reason.EXERCISE,))),
    (10_000, PLAIN),
]


@pytest.mark.parametrize(("draw", "expected"), EXERCISE_CASES)
def test_healthy_traffic_exercises_each_lower_tier(
    draw: int, expected: TierDecision
) -> None:
    assert _decide(replace(QUIET, request_draw=draw)) == expected


@pytest.mark.parametrize(
    ("draw", "age_us", "num_waiting", "expected"),
    [
        (29_999, 3_000, 1, TierDecision(Tier.FULL, (Reason.PROBE,))),
        (30_000, 3_000, 1, TierDecision(Tier.REDUCED, (Reason.BACKLOG,))),
        # Nobody waits: a probe delays nobody.
        (30_000, 2_500, 0, TierDecision(Tier.FULL, (Reason.PROBE,))),
        # Old although nobody waits behind it: others kept it waiting.
        (30_000, 2_501, 0, TierDecision(Tier.REDUCED, (Reason.BACKLOG,))),
        (0, 8_000, 0, TierDecision(Tier.REDUCED, (Reason.PROBE,))),  # one step
        (0, 18_000, 0, TierDecision(Tier.POPULAR, (Reason.BACKLOG,))),  # no slack
        (0, 0, 7, TierDecision(Tier.REDUCED, (Reason.BACKLOG,))),
    ],
)
def test_a_probe_goes_one_step_up_when_there_is_slack(
    draw: int, age_us: int, num_waiting: int, expected: TierDecision
) -> None:
    snapshot = replace(
        QUIET,
        request_draw=draw,
        age_us=age_us,
        num_waiting=num_waiting,
        costs={tier: replace(cost, is_sure=False) for tier, cost in COSTS.items()},
    )
    assert _decide(snapshot) == expected


def test_a_tier_that_is_known_is_not_probed() -> None:
    late = replace(QUIET, request_draw=0, age_us=3_000)
    assert _decide(late) == TierDecision(Tier.REDUCED, (Reason.BACKLOG,))
    unused = {**COSTS, Tier.FULL: replace(COSTS[Tier.FULL], is_sure=False)}
    probed = _decide(replace(late, costs=unused))
    assert probed == TierDecision(Tier.FULL, (Reason.PROBE,))
    never = TierPolicy(PolicyOptions(probe_ppm=0))
    assert never.decide(replace(late, costs=unused)).tier is Tier.REDUCED


def test_a_probe_never_enters_a_tier_whose_dependency_is_down() -> None:
    blocked = {Tier.FULL: Reason.BREAKER_STORE}
    decision = _decide(replace(QUIET, request_draw=0, blocked=blocked))
    assert decision == TierDecision(Tier.REDUCED, (Reason.BREAKER_STORE,))


def test_near_the_limit_the_users_draw_decides() -> None:
    edge = replace(QUIET, age_us=2_000 + 200)  # 2 % over f * budget
    assert _decide(replace(edge, user_draw=0)).tier is Tier.FULL
    assert _decide(replace(edge, user_draw=MILLION - 1)).tier is Tier.REDUCED


def test_the_users_draw_never_lifts_f_over_its_limit() -> None:
    lucky = replace(QUIET, fit_ppm=850_000, user_draw=0, age_us=9_000)
    assert _decide(lucky).tier is Tier.FULL  # 9000 + 8000 = 0.85 * budget
    assert _decide(replace(lucky, age_us=9_001)).tier is Tier.REDUCED


def test_shares_are_options() -> None:
    never = TierPolicy(PolicyOptions(probe_ppm=0, exercise_ppm=0))
    assert never.decide(replace(QUIET, request_draw=0)) == PLAIN
    late = replace(QUIET, age_us=3_000, request_draw=0)
    assert never.decide(late).reasons == (Reason.BACKLOG,)


@pytest.mark.parametrize(
    ("num_waiting", "parallelism", "batch_size", "expected"),
    [
        (2, 1, 1, Tier.REDUCED),
        (2, 2, 1, Tier.FULL),  # 8000 + 2 * 2000 / 2 = f * budget
        (4, 1, 4, Tier.FULL),  # one batch
        (5, 1, 4, Tier.REDUCED),  # two batches
        (8, 2, 4, Tier.FULL),
    ],
)
def test_the_backlog_counts_batches_and_is_spread_over_threads(
    num_waiting: int, parallelism: int, batch_size: int, expected: Tier
) -> None:
    snapshot = replace(
        QUIET,
        num_waiting=num_waiting,
        parallelism=parallelism,
        batch_size=batch_size,
    )
    assert _decide(snapshot).tier is expected


SNAPSHOTS = st.builds(
    PolicySnapshot,
    age_us=st.integers(0, 120_000),
    budget_us=st.integers(1, 60_000),
    deadline_us=st.integers(1, 200_000),
    num_waiting=st.integers(0, 500),
    costs=st.just(COSTS),
    fit_ppm=st.integers(300_000, 700_000),
    user_draw=st.integers(0, MILLION - 1),
)


@settings(max_examples=200)
@given(SNAPSHOTS, st.integers(1, 5_000), st.integers(1, 50))
def test_more_pressure_never_gives_a_better_tier(
    snapshot: PolicySnapshot, more_age_us: int, more_waiting: int
) -> None:
    pressed = replace(
        snapshot,
        age_us=snapshot.age_us + more_age_us,
        num_waiting=snapshot.num_waiting + more_waiting,
    )
    now, then = _decide(snapshot).tier, _decide(pressed).tier
    assert (then or 0) <= (now or 0)


@pytest.mark.parametrize(
    ("tier", "drain_us", "expected"),
    [
        (Tier.REDUCED, 2_000, Tier.FULL),  # no more than their work
        (Tier.REDUCED, 2_001, Tier.REDUCED),
        (Tier.POPULAR, 2_500, Tier.FULL),  # an eighth of the budget
        (Tier.POPULAR, 2_501, Tier.POPULAR),
    ],
)
def test_who_waits_takes_what_the_queue_was_seen_to_take(
    tier: Tier, drain_us: int, expected: Tier
) -> None:
    snapshot = replace(QUIET, num_waiting=1, drain_us={tier: drain_us})
    assert _decide(snapshot).tier is expected
