"""Limits as code: what a load run must hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tally import LoadReport


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits of one situation.

    Attributes:
        p50_ms, p99_ms: of all calls, upper limits; None sets none.
        max_error_share: of all calls, upper limit.
        min_tier_share: of the answers, lower limits by tier.
    """

    p50_ms: float | None = None
    p99_ms: float | None = None
    max_error_share: float = 0.0
    min_tier_share: Mapping[str, float] = field(default_factory=dict)


SLOS = {
    "half": Slo(p99_ms=20.0, min_tier_share={"FULL": 0.98}),
    "nearly-full": Slo(p99_ms=20.0, min_tier_share={"FULL": 0.90}),
    "overload": Slo(p99_ms=20.0),
}
"""By situation: at 0.5 and 0.9 of the measured capacity, and above it."""


def breaches(report: LoadReport, slo: Slo) -> list[str]:
    """Returns a sentence for each limit that does not hold; a void run holds none."""
    if report.void:
        return [f"void: {report.void}"]
    total = report.total
    found = []
    for name, limit in (("p50_ms", slo.p50_ms), ("p99_ms", slo.p99_ms)):
        measured = getattr(total, name)
        if limit is not None and measured > limit:
            found.append(f"{name} is {measured:.2f}, must be <= {limit:.2f}")
    error_share = total.num_errors / total.num_calls if total.num_calls else 1.0
    if error_share > slo.max_error_share:
        found.append(
            f"{error_share:.2%} of the calls failed, must be <= "
            f"{slo.max_error_share:.2%}"
        )
    num_answers = sum(report.tiers.values())
    for tier, least in slo.min_tier_share.items():
        share = report.tiers.get(tier, 0) / num_answers if num_answers else 0.0
        if share < least:
            found.append(
                f"{share:.1%} of the answers are {tier}, must be >= {least:.0%}"
            )
    return found
