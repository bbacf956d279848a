"""Contenders take turns on index sets of their own; a bar is met or not."""

from functools import partial

import pytest
import torch
from torch import Tensor

from bench import ops_timing
from bench.ops_timing import Bar, Contest, largest_error, measured, medians


@pytest.mark.parametrize(
    ("bar", "ratio", "share", "holds"),
    [
        (Bar(2.0), 2.0, None, True),
        (Bar(2.0), 1.99, None, False),
        (Bar(2.0), None, None, False),
        (Bar(2.0, share=0.9), 2.5, 0.9, True),
        (Bar(2.0, share=0.9), 2.5, 0.89, False),
        (Bar(2.0, share=0.9), 2.5, None, False),
    ],
)
def test_a_bar_asks_for_speed_and_where_it_says_so_for_a_share(
    bar: Bar, ratio: float | None, share: float | None, holds: bool
) -> None:
    assert bar.holds(ratio, share) is holds


def test_a_bar_says_what_it_asks() -> None:
    assert Bar(2.0, share=0.9).text() == ">= 2x the best peer, >= 90% of the ceiling"
    assert Bar(2.0, as_time=True).text() == "<= 0.5x the best peer's time"


def test_within_a_turn_no_two_contenders_have_the_same_index_set() -> None:
    seen: dict[str, list[int]] = {name: [] for name in "abcdefgh"}

    def call(index_set: int, name: str) -> Tensor:
        seen[name].append(index_set)
        return torch.zeros(1)

    medians({name: partial(call, name=name) for name in seen}, 0.0)
    # Behind the 8 calls that warm up.
    for turn in zip(*(sets[8:] for sets in seen.values()), strict=True):
        assert sorted(turn) == list(range(8))
    assert all(sorted(sets[8:16]) == list(range(8)) for sets in seen.values())


def test_a_slower_call_than_its_peer_misses_the_bar() -> None:
    def slow(_: int) -> Tensor:
        return torch.arange(200_000).sum()

    def fast(_: int) -> Tensor:
        return torch.zeros(())

    contest = Contest("w", slow, {"fast": fast}, bar=Bar(1.0))
    row = measured(contest, slow(0).double(), 0.0)
    assert row["holds"] is False
    assert row["bar"] == ">= 1x the best peer"


def test_errors_of_large_values_are_relative() -> None:
    found = torch.tensor([1.5, 101.0])
    expected = torch.tensor([1.0, 100.0]).double()
    assert largest_error(found, expected) == pytest.approx(0.5)
    assert largest_error(found[1:], expected[1:]) == pytest.approx(0.01)


def test_a_span_that_the_system_interrupted_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interruptions = [0]
    now = [0.0]
    turns = iter(range(100))

    def call(_: int) -> Tensor:
        # Two of three calls are interrupted, and take a thousand times as long.
        disturbed = next(turns) % 3 > 0
        interruptions[0] += disturbed
        now[0] += 1e-3 if disturbed else 1e-6
        return torch.zeros(())

    monkeypatch.setattr(ops_timing, "_interruptions", lambda: interruptions[0])
    monkeypatch.setattr(ops_timing, "_now", lambda: now[0])
    assert medians({"a": call}, 0.02)["a"] == pytest.approx(1.0)
