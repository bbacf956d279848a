import os

from bench.machine_stalls import stall_rows


def test_every_core_is_watched_and_the_thread_is_free_again() -> None:
    cores = os.sched_getaffinity(0)
    rows = stall_rows(0.02)
    assert len(rows) == len(cores)
    assert all(0 <= row.ours < 20_000 for row in rows)
    assert os.sched_getaffinity(0) == cores
