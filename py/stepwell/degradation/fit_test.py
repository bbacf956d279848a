"""f over time: small steps under a queue, large ones back once there is none."""

from stepwell.degradation.cost_estimator import CostOptions
from stepwell.degradation.fit import Fit
from stepwell.degradation.trim import MILLION, TrimOptions

INTERVAL_US = TrimOptions().interval_us
LATE_PPM, EARLY_PPM = 950_000, 300_000


class _Run:
    """An f that hears of 20 requests an interval."""

    def __init__(self, initial_ppm: int = 700_000) -> None:
        self.now_us = 0
        self.fit = Fit(initial_ppm, TrimOptions(), CostOptions(), self.now_us)

    def interval(self, use_ppm: int, num_idle: int) -> int:
        """Returns f after an interval of such answers."""
        for number in range(20):
            self.fit.left(is_idle=number < num_idle)
            self.fit.record(use_ppm, self.now_us)
        self.now_us += INTERVAL_US
        self.fit.look(self.now_us)
        return self.fit.ppm

    def trimmed(self) -> "_Run":
        """After a flood that took f to its floor."""
        while self.interval(LATE_PPM, 0) > TrimOptions().low_ppm:
            pass
        return self


def _intervals(run: _Run, num_idle: int, until_ppm: int) -> int:
    count = 0
    while run.interval(EARLY_PPM, num_idle) < until_ppm:
        count += 1
    return count


def test_is_back_where_it_started_within_3_5_seconds_of_calm() -> None:
    assert _intervals(_Run().trimmed(), 20, 700_000) <= 6


def test_a_quarter_of_idle_requests_is_calm_and_less_is_not() -> None:
    assert _intervals(_Run().trimmed(), 5, 700_000) <= 6
    assert _intervals(_Run().trimmed(), 4, 700_000) > 30


def test_calm_leads_back_and_no_further() -> None:
    run = _Run().trimmed()
    _intervals(run, 20, 700_000)
    assert run.interval(EARLY_PPM, 20) == 714_000


def test_in_calm_the_answers_of_the_queue_before_it_are_not_held_against_f() -> None:
    run = _Run(initial_ppm=500_000)
    run.interval(LATE_PPM, 0)
    for _ in range(3):
        run.interval(LATE_PPM - 100_000, 0)  # late, and not late enough for a step
    assert run.fit.ppm == 450_000
    run.interval(EARLY_PPM, 20)
    assert run.interval(EARLY_PPM, 20) == 500_000


def test_late_answers_shrink_f_in_calm_too() -> None:
    run = _Run()
    run.interval(EARLY_PPM, 20)
    former_ppm = run.fit.ppm
    for _ in range(3):
        run.interval(LATE_PPM, 20)
    assert run.fit.ppm < former_ppm


def test_nobody_at_all_is_no_calm() -> None:
    run = _Run().trimmed()
    run.now_us += INTERVAL_US
    run.fit.look(run.now_us)
    assert run.fit.ppm == TrimOptions().low_ppm


def test_f_starts_anew_only_where_its_start_was_changed() -> None:
    run = _Run().trimmed()
    run.fit.reconfigure(700_000, TrimOptions(low_ppm=200_000))
    assert run.fit.ppm == 300_000
    run.fit.reconfigure(600_000, TrimOptions())
    assert run.fit.ppm == 600_000
    run.fit.reconfigure(MILLION, TrimOptions())
    assert run.fit.ppm == TrimOptions().high_ppm
