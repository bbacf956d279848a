"""The watch of the event loop, on a loop of its own."""

import asyncio
import selectors

import pytest

from stepwell.base.clock import FakeClock
from stepwell.serving.loop_watch import LoopWatch, watched_loop

MOST_US = 20_000


class _Watched:
    """A loop whose work takes as long as it says, on a clock of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.watch = LoopWatch(MOST_US, self.clock.monotonic_us)

    def lags_us(self, *periods_us: tuple[int, ...]) -> list[int]:
        """Returns the lag at the start of each step; before a period the loop rests."""
        lags_us: list[int] = []

        async def work() -> None:
            for steps_us in periods_us:
                await asyncio.sleep(0.001)
                for step_us in steps_us:
                    lags_us.append(self.watch.lag_us())
                    self.clock.advance_us(step_us)
                    await asyncio.sleep(0)

        with asyncio.Runner(loop_factory=lambda: watched_loop(self.watch)) as runner:
            runner.run(work())
        return lags_us


def test_the_lag_grows_while_the_loop_finds_no_rest() -> None:
    assert _Watched().lags_us((300, 500, 0)) == [0, 300, 800]


def test_the_lag_has_an_end() -> None:
    assert _Watched().lags_us((MOST_US + 1, 0)) == [0, MOST_US]


def test_a_loop_that_rested_has_no_lag() -> None:
    assert _Watched().lags_us((700, 0), (400, 0)) == [0, 700, 0, 400]


def test_a_loop_at_rest_has_no_lag_however_long_it_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = _Watched()
    seen_us: list[int] = []

    def rest(_: LoopWatch, timeout: float | None) -> list[object]:
        if timeout != 0:
            watched.clock.advance_us(5_000)
            seen_us.append(watched.watch.lag_us())
        return []

    monkeypatch.setattr(selectors.DefaultSelector, "select", rest)
    watched.clock.advance_us(100)
    seen_us.append(watched.watch.lag_us())
    watched.watch.select(1.0)
    seen_us.append(watched.watch.lag_us())
    watched.watch.close()
    assert seen_us == [100, 0, 0]
