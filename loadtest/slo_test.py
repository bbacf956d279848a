"""Each limit holds or is named."""

from collections.abc import Sequence

import numpy as np
import pytest

from capacity import Capacity
from load_run import LoadRun
from load_run_fixture import run_of
from slo import SLOS, Situation, findings, worst_second_p99_ms
from utility import TierValues

CAPACITY = Capacity(full=50.0, reduced=100.0, popular=500.0)


def _calls(
    latency_ms: float = 5.0,
    count: int = 1_000,
    *,
    tier: Sequence[int] | int = 1,
    num_failed: int = 0,
) -> LoadRun:
    status = [14] * num_failed + [0] * (count - num_failed)
    return run_of([latency_ms] * count, tier=tier, status=status)


def _found(name: str, run: LoadRun, situation: Situation | None = None) -> str:
    situation = situation or Situation(capacity=CAPACITY, trouble=(2.0, 4.0))
    found = findings(name, run, situation)
    return " | ".join(str(finding) for finding in found if not finding.holds)


def test_a_calm_run_breaches_nothing() -> None:
    assert _found("half", _calls()) == ""


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (_calls(21.0), "p99, ms is 21, must be <= 20"),
        (_calls(num_failed=1), "share of errors is 0.001, must be <= 0"),
        (_calls(tier=[1] * 979 + [2] * 21), "share of FULL is 0.979, must be >= 0.98"),
        (_calls(count=0), "share of errors is 1"),
    ],
)
def test_half_load_is_all_answered_in_time_by_full(run: LoadRun, words: str) -> None:
    assert words in _found("half", run)


def test_nearly_full_load_may_step_down_for_a_tenth() -> None:
    assert _found("nearly-full", _calls(tier=[1] * 90 + [2] * 10, count=100)) == ""
    assert "share of FULL" in _found(
        "nearly-full", _calls(tier=[1] * 89 + [2] * 11, count=100)
    )


def test_overload_is_measured_by_the_best_mix_that_fits() -> None:
    # 100 calls a second fit at REDUCED; all POPULAR is worth less than 90 % of that.
    assert _found("overload", _calls(tier=2)) == ""
    from_utility = Situation(capacity=CAPACITY, values=_steep())
    assert "utility" in _found("overload", _calls(tier=3), from_utility)
    assert "share in budget is 0.998" in _found("overload", _calls(num_failed=2))


def _steep() -> TierValues:
    return TierValues(full=1.0, reduced=0.9, popular=0.5)


def test_a_flood_is_refused_fast_and_with_push_back() -> None:
    run = run_of([5.0] * 400 + [1.0] * 600, tier=3, status=[0] * 400 + [8] * 600)
    capacity = Situation(capacity=Capacity(5.0, 10.0, 40.0))
    assert _found("flood", run, capacity).startswith(
        "refusals without push-back, calls is 600"
    )
    run.pushback_ms[400:] = 20
    assert _found("flood", run, capacity) == ""
    run.pushback_ms[400] = -1
    assert "without push-back, calls is 1" in _found("flood", run, capacity)
    run.status[400] = 1  # CANCELLED: a server that was overrun and did not say so
    assert _found("flood", run, capacity) == (
        "share of errors that are no refusals is 0.001, must be <= 0"
    )
    run.status[400], run.pushback_ms[400] = 8, 20
    run.done_s[400:] += 0.006
    assert "p99 of a refusal, ms is 7" in _found("flood", run, capacity)
    half = Situation(capacity=Capacity(5.0, 10.0, 80.0))
    assert "goodput of the reachable is 0.5" in _found("flood", run, half)


def _burst_run(slow_second: float, back_s: float) -> LoadRun:
    """12 s, 100 a second; trouble from 2 to 4, one slow second, FULL from back_s on."""
    due = np.arange(1_200) / 100
    slow = (due >= slow_second) & (due < slow_second + 1)
    latency = np.where(slow, 30.0, 5.0)
    tier = np.where((due >= 2) & (due < back_s), 3, 1)
    return run_of(latency.tolist(), tier=tier.tolist())


def test_a_burst_may_be_slow_for_two_seconds_and_is_over_five_after_its_end() -> None:
    assert _found("burst", _burst_run(slow_second=2.0, back_s=8.9)) == ""
    assert "worst p99 of a second, ms is 30" in _found("burst", _burst_run(5.0, 8.9))
    assert "share of FULL" in _found("burst", _burst_run(2.0, back_s=10.0))


def test_two_seconds_after_a_flood_nothing_is_left_of_it() -> None:
    run = _burst_run(slow_second=4.0, back_s=8.9)
    run.status[(run.due_s >= 2) & (run.due_s < 5)] = 8
    assert _found("aftermath", run) == ""
    assert "worst p99" in _found("aftermath", _burst_run(6.5, 8.9))


def test_the_worst_second_is_a_whole_one() -> None:
    run = _burst_run(slow_second=11.0, back_s=4.0)
    assert worst_second_p99_ms(run, 2.0, 11.99) == pytest.approx(5.0)
    assert worst_second_p99_ms(run, 2.0, 12.0) == pytest.approx(30.0)


def test_a_share_of_full_that_swings_is_found() -> None:
    due = np.arange(6_000) / 100
    swings = np.where(due.astype(int) % 10 < 5, 1, 2)
    situation = Situation()
    found = {
        f.what: f
        for f in findings(
            "steady", run_of([5.0] * 6_000, tier=swings.tolist()), situation
        )
    }
    assert found["period of the share of FULL, s"].measured == pytest.approx(10.0)
    assert not found["deviation of FULL beyond noise"].holds
    chance = np.random.default_rng(1).choice([1, 2], 6_000, p=[0.7, 0.3])
    assert _found("steady", run_of([5.0] * 6_000, tier=chance.tolist())) == ""


def test_a_storm_of_retries_is_found() -> None:
    run = run_of([5.0] * 2_000)
    assert _found("storm", run) == ""
    run.attempts[:400] = 2
    assert "attempts a request is 1.2" in _found("storm", run)


def test_a_trigger_that_is_gone_is_forgotten_after_a_while() -> None:
    due = np.arange(1_200) / 100
    slow, lower = np.full(1_200, 5.0), np.ones(1_200, int)
    slow[200:700], lower[200:700] = 30.0, 3
    after_4_s = Situation(trouble=(2.0, 4.0), recovery_s=3.0)
    run = run_of(slow.tolist(), tier=lower.tolist())
    assert run.due_s.tolist() == pytest.approx(due.tolist())
    assert _found("forgotten", run, after_4_s) == ""
    too_soon = Situation(trouble=(2.0, 4.0), recovery_s=2.0)
    assert _found("forgotten", run, too_soon).startswith("share of FULL is 0.8")
    assert "p99 to that before is 6, must be <= 1.1" in _found(
        "forgotten", run, too_soon
    )
    run.status[1_199] = 14
    assert "share of errors" in _found("forgotten", run, after_4_s)


def test_interactive_calls_are_judged_alone() -> None:
    late = [5.0, 500.0] * 100
    names = ("interactive", "batch")
    run = run_of(late, lane=[0, 1] * 100, lane_names=names)
    assert _found("priorities", run) == ""
    assert "share in budget is 0" in _found(
        "priorities", run_of(late, lane=[1, 0] * 100, lane_names=names)
    )


def test_heavy_calls_do_not_slow_the_others() -> None:
    situation = Situation(calm=_calls(10.0))
    names = ("usual", "heavy")
    heavy = [11.0] * 99 + [400.0]
    lanes = [0] * 99 + [1]
    assert _found("heavy", run_of(heavy, lane=lanes, lane_names=names), situation) == ""
    slowed = run_of([13.0] * 100, lane=lanes, lane_names=names)
    assert "p99 of the others to calm is 1.3" in _found("heavy", slowed, situation)


@pytest.mark.parametrize(
    "name", ["overload", "flood", "burst", "storm", "forgotten", "heavy"]
)
def test_limits_that_need_more_than_the_run_say_so(name: str) -> None:
    with pytest.raises(ValueError, match="need"):
        SLOS[name](_calls(), Situation())
