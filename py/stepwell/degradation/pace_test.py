"""The time that one takes to leave a queue with others in it."""

from stepwell.degradation.pace import Pace
from stepwell.degradation.tier import Tier


def test_measures_the_time_between_two_that_leave_a_waiting_queue() -> None:
    pace = Pace()
    for number in range(5):
        pace.left(Tier.POPULAR, 3, number * 400)
    assert pace.drain_us(Tier.POPULAR, 1_600) == 400
    assert pace.drain_us(Tier.FULL, 1_600) == 0


def test_its_mean_is_that_of_the_intervals() -> None:
    pace, now_us = Pace(), 0
    for number in range(2_000):
        pace.left(Tier.POPULAR, 3, now_us)
        now_us += 200 if number % 2 else 240
    assert 217 <= pace.drain_us(Tier.POPULAR, now_us) <= 223


def test_an_empty_queue_says_nothing_of_the_pace() -> None:
    pace = Pace()
    pace.left(Tier.POPULAR, 0, 0)
    pace.left(Tier.POPULAR, 0, 90_000)
    assert pace.drain_us(Tier.POPULAR, 90_000) == 0


def test_a_pause_of_the_process_weighs_little() -> None:
    pace = Pace()
    pace.left(Tier.POPULAR, 1, 0)
    pace.left(Tier.POPULAR, 1, 300)
    pace.left(Tier.POPULAR, 1, 900_000)
    assert pace.drain_us(Tier.POPULAR, 900_000) <= 2 * 300


def test_a_pace_that_stays_slow_is_soon_known() -> None:
    pace, now_us = Pace(), 0
    for each_us in (300, 30_000):
        for _ in range(200):
            pace.left(Tier.POPULAR, 1, now_us)
            now_us += each_us
    assert pace.drain_us(Tier.POPULAR, now_us) >= 29_000


def test_knows_whether_popular_is_what_is_mostly_served() -> None:
    pace = Pace()
    said = [pace.is_mostly_popular]
    for many in (200, 100, 200, 200):
        for _ in range(many):
            pace.left(Tier.POPULAR, 1, 0)
        said.append(pace.is_mostly_popular)
    for number in range(600):
        pace.left(Tier.POPULAR if number % 3 else Tier.REDUCED, 1, 0)
    said.append(pace.is_mostly_popular)
    assert said == [False, False, False, True, True, False]


def test_a_pace_of_long_ago_is_forgotten() -> None:
    pace = Pace()
    pace.left(Tier.POPULAR, 1, 0)
    pace.left(Tier.POPULAR, 0, 5_000)
    assert pace.drain_us(Tier.POPULAR, 1_005_000) == 5_000
    assert pace.drain_us(Tier.POPULAR, 1_005_001) == 0
    pace.left(Tier.POPULAR, 1, 2_000_000)
    pace.left(Tier.POPULAR, 1, 2_000_300)
    assert pace.drain_us(Tier.POPULAR, 2_000_300) == 300
