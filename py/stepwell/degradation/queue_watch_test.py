"""The queue's watch: for how long it stands, and the time that one takes to leave."""

from stepwell.degradation.admission_queue import Priority
from stepwell.degradation.queue_watch import LONGEST_GAP_US, QueueWatch
from stepwell.degradation.tier import Tier

INTERACTIVE, PREFETCH, BATCH = Priority


def test_stands_since_nobody_was_ahead() -> None:
    watch = QueueWatch(now_us=1_000)
    assert watch.seen(INTERACTIVE, 2_000, idle=False) == 1_000
    assert watch.seen(INTERACTIVE, 5_000, idle=False) == 4_000
    assert watch.seen(INTERACTIVE, 5_500, idle=True) == 0
    assert watch.seen(INTERACTIVE, 6_000, idle=False) == 500


def test_nobody_ahead_of_a_prefetch_means_nobody_ahead_of_a_person() -> None:
    watch = QueueWatch(0)
    watch.seen(BATCH, 3_000, idle=False)
    watch.seen(PREFETCH, 4_000, idle=True)
    standing = [watch.seen(priority, 5_000, idle=False) for priority in Priority]
    assert standing == [1_000, 1_000, 5_000]


def test_a_pause_of_the_process_is_no_standing_queue() -> None:
    watch = QueueWatch(0)
    watch.seen(INTERACTIVE, 1_000, idle=True)
    assert watch.seen(INTERACTIVE, 5_000_000, idle=False) == LONGEST_GAP_US


def test_measures_the_time_between_two_that_leave_a_waiting_queue() -> None:
    watch = QueueWatch(0)
    for number in range(5):
        watch.left(Tier.POPULAR, 3, number * 400)
    assert watch.drain_us(Tier.POPULAR, 1_600) == 400
    assert watch.drain_us(Tier.FULL, 1_600) == 0


def test_an_empty_queue_says_nothing_of_the_pace() -> None:
    watch = QueueWatch(0)
    watch.left(Tier.POPULAR, 0, 0)
    watch.left(Tier.POPULAR, 0, 90_000)
    assert watch.drain_us(Tier.POPULAR, 90_000) == 0


def test_a_pause_of_the_process_weighs_little() -> None:
    watch = QueueWatch(0)
    watch.left(Tier.POPULAR, 1, 0)
    watch.left(Tier.POPULAR, 1, 300)
    watch.left(Tier.POPULAR, 1, 900_000)
    assert watch.drain_us(Tier.POPULAR, 900_000) <= 300 + 900_000 // 32


def test_a_pace_of_long_ago_is_forgotten() -> None:
    watch = QueueWatch(0)
    watch.left(Tier.POPULAR, 1, 0)
    watch.left(Tier.POPULAR, 0, 5_000)
    assert watch.drain_us(Tier.POPULAR, 1_005_000) == 5_000
    assert watch.drain_us(Tier.POPULAR, 1_005_001) == 0
    watch.left(Tier.POPULAR, 1, 2_000_000)
    watch.left(Tier.POPULAR, 1, 2_000_300)
    assert watch.drain_us(Tier.POPULAR, 2_000_300) == 300
