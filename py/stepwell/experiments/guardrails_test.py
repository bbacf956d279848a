from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stepwell.base.latency_histogram import bucket_of
from stepwell.experiments.arm_outcomes import (
    LATENCY_BINS,
    SCORE_BINS,
    USER_BUCKETS,
    ArmOutcomes,
    Cells,
    score_bin,
    score_bins,
)
from stepwell.experiments.guardrails import FALSE_ALARMS, Limits, psi, verdict

LIVE = ArmOutcomes(num_answers=19_000)
CANARY = ArmOutcomes(num_answers=1_000)


def changed(arm: ArmOutcomes, **changes: Any) -> ArmOutcomes:
    return replace(arm, **changes)


def latencies(*us: int, each: int = 1) -> Cells:
    counts = np.zeros(LATENCY_BINS, np.int64)
    for value in us:
        counts[bucket_of(value)] += each
    return counts


def scores(mean: float, number: int, seed: int = 0) -> Cells:
    """Of `number` slates, spread by a third around the mean."""
    drawn = np.random.default_rng(seed).lognormal(np.log(mean), 0.33, number)
    bins = [score_bin(score) for score in drawn.tolist()]
    return np.bincount(bins, minlength=SCORE_BINS)


def test_the_budget_of_false_alarms_is_one_percent_over_all_rules() -> None:
    assert 0.0095 < sum(FALSE_ALARMS.values()) <= 0.01


def test_a_canary_without_answers_may_stay() -> None:
    assert verdict(LIVE, ArmOutcomes()).is_ok


def test_without_answers_of_live_only_broken_numbers_are_proof() -> None:
    assert verdict(ArmOutcomes(), replace(CANARY, num_errors=1_000)).is_ok
    broken = replace(CANARY, num_non_finite=1_000)
    assert verdict(ArmOutcomes(), broken).reason == "non_finite"


def test_one_score_that_is_no_number_is_enough_while_live_has_none() -> None:
    found = verdict(LIVE, replace(CANARY, num_non_finite=1))
    assert (found.is_ok, found.reason) == (False, "non_finite")
    assert "1 of 1000 slates" in found.evidence
    # Where live has them too, such as from a feature that broke, shares decide.
    assert verdict(
        replace(LIVE, num_non_finite=19), replace(CANARY, num_non_finite=1)
    ).is_ok


@pytest.mark.parametrize(
    ("reason", "of_live", "of_canary", "stays"),
    [
        ("errors", 0, 1, True),
        ("errors", 0, 2, False),
        ("errors", 190, 10, True),  # an outage strikes both alike
        ("errors", 190, 60, False),
        ("late", 190, 60, True),  # four times the share may be
        ("late", 190, 90, False),
        ("late", 0, 20, True),  # and a fiftieth in any case
        ("late", 0, 60, False),
    ],
)
def test_bad_answers_are_compared_by_whose_they_are(
    reason: str, of_live: int, of_canary: int, stays: bool
) -> None:
    live = changed(LIVE, **{f"num_{reason}": of_live})
    canary = changed(CANARY, **{f"num_{reason}": of_canary})
    assert verdict(live, canary).reason == ("" if stays else reason)


BY_USER = {"flat": "slates", "short": "slates", "degraded": "answered"}


@pytest.mark.parametrize("reason", BY_USER)
def test_a_user_whose_slates_are_odd_counts_once(reason: str) -> None:
    slates = np.zeros(USER_BUCKETS)
    slates[:1_000] = 50.0

    def arm(whole: ArmOutcomes, num_users: int, odd: int, times: float) -> ArmOutcomes:
        cells = np.zeros(USER_BUCKETS)
        cells[:odd] = times
        seen = np.where(np.arange(USER_BUCKETS) < num_users, slates, 0.0)
        return changed(whole, **{BY_USER[reason]: seen, reason: cells})

    live = arm(LIVE, 1_000, 20, 1.0)
    assert verdict(live, arm(CANARY, 50, 2, 400.0)).is_ok
    assert verdict(live, arm(CANARY, 50, 30, 1.0)).reason == reason


@pytest.mark.parametrize("reason", BY_USER)
def test_odd_slates_of_so_many_users_that_all_buckets_have_some_are_told_apart(
    reason: str,
) -> None:
    """As with 40,000 users: some twenty of live's share each bucket."""
    rng = np.random.default_rng(0)

    def arm(whole: ArmOutcomes, num_users: int, odd_share: float) -> ArmOutcomes:
        buckets = rng.integers(0, USER_BUCKETS, num_users)
        is_odd = rng.random(num_users) < odd_share
        seen = np.bincount(buckets, minlength=USER_BUCKETS) * 5.0
        odd = np.bincount(buckets, is_odd * 5.0, USER_BUCKETS)
        return changed(whole, **{BY_USER[reason]: seen, reason: odd})

    live = arm(LIVE, 38_000, 0.05)
    assert np.count_nonzero(getattr(live, reason)) > USER_BUCKETS / 2
    for share in (0.05, 0.08):
        assert verdict(live, arm(CANARY, 2_000, share)).is_ok
    for share in (0.4, 1.0):
        found = verdict(live, arm(CANARY, 2_000, share))
        assert found.reason == reason
        assert "user buckets" in found.evidence


def test_a_few_degraded_answers_may_be_where_live_has_none() -> None:
    answered = np.ones(USER_BUCKETS)

    def arm(whole: ArmOutcomes, odd: int) -> ArmOutcomes:
        degraded = np.where(np.arange(USER_BUCKETS) < odd, 1.0, 0.0)
        return replace(whole, answered=answered, degraded=degraded)

    assert verdict(arm(LIVE, 0), arm(CANARY, 20)).is_ok
    assert verdict(arm(LIVE, 0), arm(CANARY, 300)).reason == "degraded"


def test_a_canary_twice_as_slow_goes_and_one_four_tenths_slower_stays() -> None:
    times = list(range(4_000, 9_000, 5))
    live = replace(LIVE, latencies=latencies(*times))

    def canary(factor: float) -> ArmOutcomes:
        slowed = [int(us * factor) for us in times[::20]]
        return replace(CANARY, latencies=latencies(*slowed))

    assert verdict(live, canary(1.4)).is_ok
    found = verdict(live, canary(2.0))
    assert found.reason == "slow_p95"
    assert "live's p95 is 8" in found.evidence
    # With too few of live's there is no quantile to compare by.
    few = replace(LIVE, latencies=latencies(*times[::20]))
    assert verdict(few, canary(2.0), Limits(min_timed=51)).is_ok


def test_where_times_spread_widely_the_median_tells() -> None:
    """As on a busy machine: twice the usual time is well within live's p95."""
    rng = np.random.default_rng(0)
    times = rng.lognormal(np.log(5_000), 0.8, 21_000).astype(int).tolist()
    live = replace(LIVE, latencies=latencies(*times[:20_000]))

    def canary(factor: float) -> ArmOutcomes:
        slowed = [int(us * factor) for us in times[20_000:]]
        return replace(CANARY, latencies=latencies(*slowed))

    assert verdict(live, canary(1.4)).is_ok
    assert verdict(live, canary(2.0)).reason == "slow_p50"


def test_a_rare_slowness_shows_at_the_99th_percentile() -> None:
    live = replace(LIVE, latencies=latencies(5_000, each=9_000))
    live.latencies[bucket_of(8_000)] += 500
    canary = replace(CANARY, latencies=latencies(5_000, each=900))
    canary.latencies[bucket_of(50_000)] += 20
    assert verdict(live, canary).reason == "slow_p95"
    live.latencies[bucket_of(30_000)] += 400
    assert verdict(live, canary).reason == "slow_p99"


def test_scores_that_shift_take_the_canary_down() -> None:
    slates = np.ones(USER_BUCKETS)
    live = replace(LIVE, scores=scores(0.2, 10_000), slates=slates)
    alike = replace(CANARY, scores=scores(0.2, 500, seed=1), slates=slates)
    assert verdict(live, alike).is_ok
    shifted = replace(alike, scores=scores(0.4, 500, seed=1))
    assert verdict(live, shifted).reason == "score_shift"
    # Few users are few independent slates, however many they are asked for.
    few_users = np.zeros(USER_BUCKETS)
    few_users[:4] = 125
    assert verdict(live, replace(shifted, slates=few_users)).is_ok
    assert verdict(live, replace(shifted, scores=scores(0.4, 99))).is_ok


def test_alike_scores_on_two_sides_of_a_bins_edge_are_no_shift() -> None:
    slates = np.ones(USER_BUCKETS)
    one_score = np.zeros(SCORE_BINS, np.int64)
    one_score[score_bin(0.2)] = 1_000
    live = replace(LIVE, scores=one_score, slates=slates)
    for step, stays in ((1, True), (16, False)):
        canary = replace(CANARY, scores=np.roll(one_score, step), slates=slates)
        assert verdict(live, canary).is_ok == stays


def test_psi_is_its_sum_over_the_tenths_of_live() -> None:
    live = np.zeros(SCORE_BINS, np.int64)
    live[:10] = 1_000
    found, groups = psi(live, live)
    assert groups == 10
    assert found == pytest.approx(0.0)
    halved = live.copy()
    halved[:5] = 500
    shares = np.where(np.arange(10) < 5, 500, 1_000) / 7_500
    expected = float(((shares - 0.1) * np.log(shares / 0.1)).sum())
    assert psi(live, halved)[0] == pytest.approx(expected, rel=1e-2)
    one_value = np.zeros(SCORE_BINS, np.int64)
    one_value[7] = 100
    assert psi(one_value, one_value)[0] == 0.0


def _responding(rate: float, predicted: float, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    slates = rng.poisson(5.0, USER_BUCKETS) + 1.0
    tastes = rng.gamma(10.0, rate / 10.0, USER_BUCKETS)
    return {
        "slates": slates,
        "responses": rng.poisson(slates * tastes),
        "predicted": slates * predicted,
    }


def test_fewer_responses_and_wrong_predictions_take_the_canary_down() -> None:
    live = replace(LIVE, **_responding(1.0, 1.0, 0))
    alike = replace(CANARY, **_responding(1.0, 1.0, 1))
    assert verdict(live, alike).is_ok
    fewer = replace(CANARY, **_responding(0.85, 0.85, 1))
    found = verdict(live, fewer)
    assert found.reason == "responses"
    assert "user buckets, live has 1.02" in found.evidence
    more = replace(CANARY, **_responding(1.3, 1.3, 1))
    assert verdict(live, more).is_ok
    for predicted in (0.4, 2.5):
        off = replace(CANARY, **_responding(1.0, predicted, 1))
        assert verdict(live, off).reason == "calibration"


def test_responses_of_few_users_or_of_nobody_say_nothing() -> None:
    live = replace(LIVE, **_responding(1.0, 1.0, 0))
    silent = replace(live, responses=np.zeros(USER_BUCKETS))
    assert verdict(silent, replace(CANARY, **_responding(1.0, 1.0, 1))).is_ok
    is_few = np.arange(USER_BUCKETS) < 99
    few = {key: cells * is_few for key, cells in _responding(0.1, 1.0, 1).items()}
    assert verdict(live, replace(CANARY, **few)).is_ok


def test_a_user_who_comes_all_the_time_is_no_proof() -> None:
    live = replace(LIVE, **_responding(1.0, 1.0, 0))
    fewer = _responding(0.8, 0.8, 1)
    assert verdict(live, replace(CANARY, **fewer)).reason == "responses"
    fewer["slates"][0] += 50_000
    fewer["responses"][0] += 20_000
    assert verdict(live, replace(CANARY, **fewer)).is_ok


def test_bins_of_scores_keep_their_order_and_are_a_sixteenth_of_an_octave() -> None:
    values = [-1e9, -3.0, -0.5, -1e-9, 0.0, 1e-9, 1e-3, 0.5, 0.6, 3.0, 1e9]
    bins = [score_bin(value) for value in values]
    assert bins == sorted(bins) == score_bins(np.array(values)).tolist()
    assert bins[0] >= 0
    assert bins[-1] < SCORE_BINS
    assert score_bin(0.5) == score_bin(0.51) != score_bin(0.53)
