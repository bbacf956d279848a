"""Limits hold or are named."""

import pytest

from slo import SLOS, Slo, breaches
from tally import JourneyReport, LoadReport


def _report(
    p99_ms: float = 10.0,
    num_errors: int = 0,
    num_calls: int = 100,
    void: str = "",
    **tiers: int,
) -> LoadReport:
    total = JourneyReport("all", num_calls, num_errors, 10.0, 5.0, p99_ms, p99_ms)
    return LoadReport(10.0, (total,), tiers or {"FULL": 100}, {}, {}, void)


def test_a_run_within_its_limits_breaches_nothing() -> None:
    assert breaches(_report(), SLOS["half"]) == []


@pytest.mark.parametrize(
    ("report", "slo", "breach"),
    [
        (_report(p99_ms=21.0), SLOS["half"], "p99_ms is 21.00, must be <= 20.00"),
        (_report(), Slo(p50_ms=4.0), "p50_ms is 5.00, must be <= 4.00"),
        (_report(num_errors=1), SLOS["overload"], "1.00% of the calls failed"),
        (_report(num_calls=0), Slo(), "100.00% of the calls failed"),
        (_report(FULL=97, REDUCED=3), SLOS["half"], "97.0% of the answers are FULL"),
        (_report(void="late"), Slo(), "void: late"),
    ],
)
def test_a_breach_is_named_with_its_limit(
    report: LoadReport, slo: Slo, breach: str
) -> None:
    (found,) = breaches(report, slo)
    assert breach in found
