"""The slow trim: down in big steps, up in small ones, within limits."""

import pytest

from stepwell.degradation.trim import TrimOptions, trimmed_fit_ppm


@pytest.mark.parametrize(
    ("fit_ppm", "p95_us", "expected"),
    [
        (500_000, 18_001, 450_000),  # over 90 % of 20 ms
        (500_000, 18_000, 500_000),
        (500_000, 12_000, 500_000),
        (500_000, 11_999, 510_000),  # under 60 %
        (500_000, 0, 500_000),  # no samples say nothing
        (310_000, 19_000, 300_000),
        (695_000, 1_000, 700_000),
    ],
)
def test_steps(fit_ppm: int, p95_us: int, expected: int) -> None:
    assert trimmed_fit_ppm(fit_ppm, p95_us, 20_000, TrimOptions()) == expected


def test_takes_longer_to_come_back_than_to_step_down() -> None:
    def steps_between(start: int, end: int, p95_us: int) -> int:
        count, fit = 0, start
        while fit != end:
            fit = trimmed_fit_ppm(fit, p95_us, 20_000, TrimOptions())
            count += 1
        return count

    assert steps_between(700_000, 300_000, 20_000) == 9
    assert steps_between(300_000, 700_000, 1_000) > 40
