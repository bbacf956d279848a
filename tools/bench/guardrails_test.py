import pytest

from bench.guardrails import ALARM_SECONDS, played
from bench.guardrails_world import Fault, Site

SMALL = Site(num_users=10_000, rate=200.0)


def test_a_canary_as_good_as_live_is_left_alone() -> None:
    runs = [played(SMALL, Fault(), ALARM_SECONDS // 4, seed) for seed in range(20)]
    assert runs == [None] * 20


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(slowness=2.0), "slow"),
        (Fault(non_finite=1.0), "non_finite"),
        (Fault(crashes=0.05), "errors"),
        (Fault(degraded=0.5), "degraded"),
        (Fault(score_shift=1.5), "score_shift"),
        (Fault(fewer_responses=0.5), "responses"),
    ],
)
def test_a_bad_canary_is_found_out_for_its_reason(fault: Fault, reason: str) -> None:
    for seed in range(3):
        found = played(SMALL, fault, 60, seed)
        assert found is not None
        assert found.reason.startswith(reason)


def test_the_same_seed_is_the_same_run() -> None:
    fault = Fault(crashes=0.05)
    assert played(SMALL, fault, 60, 1) == played(SMALL, fault, 60, 1)
