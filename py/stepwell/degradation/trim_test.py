"""The slow trim: down in big steps, up in small ones, within limits."""

import pytest

from stepwell.degradation.trim import TrimOptions, Use, trimmed_fit_ppm


@pytest.mark.parametrize(
    ("fit_ppm", "p95_us", "p99_us", "expected"),
    [
        (500_000, 18_001, 0, 450_000),  # over 90 % of 20 ms
        (500_000, 18_001, 40_000, 450_000),
        (500_000, 18_000, 0, 500_000),
        (500_000, 14_000, 16_000, 500_000),
        (500_000, 13_999, 16_000, 510_000),  # under 70 %, the tail not over 80 %
        (500_000, 13_999, 16_001, 475_000),
        (500_000, 13_999, 0, 510_000),
        (500_000, 0, 0, 500_000),  # no samples say nothing
        (310_000, 19_000, 0, 300_000),
        (845_000, 1_000, 2_000, 850_000),
    ],
)
def test_steps(fit_ppm: int, p95_us: int, p99_us: int, expected: int) -> None:
    use = Use(p95_us, p99_us, 20_000)
    stepped = trimmed_fit_ppm(fit_ppm, use, TrimOptions())
    assert stepped == expected


def test_takes_longer_to_come_back_than_to_step_down() -> None:
    def steps_between(start: int, end: int, p95_us: int) -> int:
        count, fit = 0, start
        while fit != end:
            fit = trimmed_fit_ppm(fit, Use(p95_us, 0, 20_000), TrimOptions())
            count += 1
        return count

    assert steps_between(850_000, 300_000, 20_000) == 10
    assert steps_between(300_000, 850_000, 1_000) > 50


@pytest.mark.parametrize(
    ("fit_ppm", "p95_us", "p99_us", "expected"),
    [
        (300_000, 5_000, 0, 360_000),
        (650_000, 5_000, 0, 700_000),  # no further than home
        (690_000, 5_000, 0, 703_800),  # where the small step leads further
        (700_000, 5_000, 0, 714_000),
        (300_000, 14_000, 0, 300_000),  # calm alone is no reason
        (500_000, 18_001, 0, 450_000),
        (500_000, 5_000, 16_001, 475_000),
    ],
)
def test_steps_in_calm(fit_ppm: int, p95_us: int, p99_us: int, expected: int) -> None:
    use = Use(p95_us, p99_us, 20_000)
    assert trimmed_fit_ppm(fit_ppm, use, TrimOptions(), 700_000) == expected
