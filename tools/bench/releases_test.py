"""The verdicts of benchmark `releases`, and which calls belong to a swap."""

import mmap
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import releases
from bench.releases import measure
from bench.releases_canary import MAX_ANSWERS, MAX_S, Trial
from bench.releases_canary import rows_of as canary_rows_of
from bench.releases_load import AFTER_S, SETTLE_S, Rounds, SwapLoad, swap_under_load
from bench.releases_plot import FIGURE, write_plot
from bench.releases_swaps import (
    MAX_MEMORY_CHANGE,
    MAX_P99_RATIO,
    Swapped,
    rows_of,
)
from bench.releases_world import memory_mib
from bench.report import BenchRow
from lanes import recommend_lane
from load_run import LoadRun
from load_run_fixture import run_of
from project_state import ProjectState
from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.client.types import Tier
from tiny_shop import Shop, serving


def calls(latency_ms: float, tier: Tier = Tier.FULL, status: int = 0) -> LoadRun:
    return run_of([latency_ms] * 100, tier=int(tier), status=status)


def swapped(swaps: Sequence[LoadRun], quiet: Sequence[LoadRun]) -> Swapped:
    load = SwapLoad([*swaps], [*quiet], [1.0] * len(swaps))
    return Swapped("a release", 100.0, load, 0.0, 0.0, 500.0)


def by_words(rows: Sequence[BenchRow], words: str) -> BenchRow:
    (found,) = (row for row in rows if words in row.work)
    return found


def test_without_a_release_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="stepwell demo --data generated --exit"):
        measure(state=ProjectState(tmp_path, "generated"))


def test_what_was_measured_before_an_interrupt_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted() -> list[BenchRow]:
        raise KeyboardInterrupt

    parts = {
        "starts": lambda: [BenchRow("start", 1.0, "s")],
        "swaps": interrupted,
        "deltas": lambda: pytest.fail("goes on"),
    }
    monkeypatch.setattr(releases, "parts_of", lambda *_, **__: parts)
    assert [row["work"] for row in measure()] == ["start"]


def test_only_the_parts_that_are_named_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = {
        "starts": lambda: pytest.fail("measured"),
        "swaps": lambda: [BenchRow("swap", 1.0, "s")],
    }
    monkeypatch.setattr(releases, "parts_of", lambda *_, **__: parts)
    (row,) = measure(only=["swaps"])
    assert (row["work"], row["part"]) == ("swap", "swaps")
    with pytest.raises(InvalidArgumentError, match="'swap', but starts, swaps"):
        measure(only=["swap"])


def test_swaps_that_nobody_notices_hold() -> None:
    rows = rows_of(swapped([calls(10.0)] * 3, [calls(10.0)] * 3))
    assert all(row.holds for row in rows)


def test_one_slow_swap_of_many_does_not_hide_in_their_mean() -> None:
    slow = 10.0 * MAX_P99_RATIO + 1.0
    rows = rows_of(swapped([*[calls(10.0)] * 199, calls(slow)], [calls(10.0)] * 200))
    assert by_words(rows, "p99 of the calls during").holds
    assert not by_words(rows, "the worst slice").holds


def test_memory_of_a_folder_is_that_of_its_files_alone(tmp_path: Path) -> None:
    names = ("inside", "inside-out")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(1 << 20))
    files = [(tmp_path / name / "file").open("rb") for name in names]
    maps = [mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) for file in files]
    assert [sum(one[::4_096]) for one in maps] == [0, 0]
    pid = os.getpid()
    assert memory_mib(pid, "Pss:", [tmp_path / "inside"]) == pytest.approx(1.0)
    assert memory_mib(pid, "Pss:", [tmp_path / "nowhere"]) == 0.0
    assert memory_mib(pid, "Pss:") > 3.0
    for mapped, file in zip(maps, files, strict=True):
        mapped.close()
        file.close()


def test_a_call_without_an_answer_does_not_hold_whenever_it_was() -> None:
    broken = run_of([10.0] * 100, status=[14, *[0] * 99])
    for swaps, quiet in (([broken], [calls(10.0)]), ([calls(10.0)], [broken])):
        row = by_words(rows_of(swapped(swaps, quiet)), "without an answer")
        assert (row.ours, row.holds) == (1, False)


def test_a_swap_that_is_hidden_behind_a_lower_tier_does_not_hold() -> None:
    rows = rows_of(swapped([calls(10.0, Tier.REDUCED)], [calls(10.0)]))
    assert not by_words(rows, "share of FULL").holds


@pytest.mark.parametrize("change", [-0.03, 0.03])
def test_memory_that_does_not_come_back_does_not_hold(change: float) -> None:
    seen = swapped([calls(10.0)], [calls(10.0)])
    row = by_words(rows_of(replace(seen, memory=change)), "memory")
    assert not row.holds
    within = replace(seen, memory=change / 2)
    assert abs(within.memory) <= MAX_MEMORY_CHANGE
    assert by_words(rows_of(within), "memory").holds


@pytest.mark.parametrize(
    ("trial", "holds"),
    [
        (Trial("errors", MAX_S, 10 * MAX_ANSWERS, 0), True),
        (Trial("errors", 10 * MAX_S, MAX_ANSWERS, 0), True),
        (Trial("errors", MAX_S + 1, MAX_ANSWERS + 1, 0), False),
        (Trial("", 1.0, 1, 0), False),
        (Trial("errors", 1.0, 1, 0, void="starved"), False),
    ],
)
def test_a_bad_canary_is_taken_down_in_time_or_it_is_not(
    trial: Trial, holds: bool
) -> None:
    assert canary_rows_of("a fault", trial)[0].holds is holds


def test_a_caller_that_a_canary_fails_does_not_hold() -> None:
    assert not canary_rows_of("a fault", Trial("errors", 1.0, 1, 1))[1].holds


def test_a_void_run_holds_nothing() -> None:
    load = SwapLoad([calls(10.0)], [calls(10.0)], [1.0], void="starved")
    (row,) = rows_of(Swapped("a release", 100.0, load, 0.0, 0.0, 500.0))
    assert not row.holds
    assert "starved" in row.bar


def test_calls_belong_to_the_swap_that_they_fell_into(tmp_path: Path) -> None:
    steps: list[str] = []
    lane = recommend_lane("callers", ["u1"], deadline_ms=1_000)
    with serving(Shop()) as shop:
        rounds = Rounds(num_swaps=1, rate=100.0, seconds=SETTLE_S + 3.0, most_a_run=4)
        seen = swap_under_load(
            shop.address,
            lane,
            rounds,
            lambda number: steps.append(f"prepared {number}"),
            lambda: steps.append("live"),
        )
    assert steps[:2] == ["prepared 1", "live"]
    if not seen.void:
        assert len(seen.swaps) == len(seen.quiet) == len(seen.took_s) == 1
        swap, before = seen.swaps[0], seen.quiet[0]
        assert before.due_s.min() >= SETTLE_S
        assert before.due_s.max() < swap.due_s.min()
        span_s = swap.due_s.max() - swap.due_s.min()
        assert span_s <= seen.took_s[0] + AFTER_S
        write_plot(tmp_path, {"a release": seen})
        assert "swap 1" in (tmp_path / FIGURE).read_text()
