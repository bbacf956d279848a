"""LADDER's f over time: what it has seen since it last moved, and the next move."""

from stepwell.base.latency_histogram import WindowedHistogram
from stepwell.degradation.cost_estimator import CostOptions
from stepwell.degradation.trim import (
    MILLION,
    MIN_TAIL_SAMPLES,
    TrimOptions,
    Use,
    trimmed_fit_ppm,
)


class Fit:
    """Holds f and the answers that it is judged by.

    Args:
        initial_ppm: f at start, and where it hurries back to in calm.
        options: steps and limits.
        cost: the window over which answers are looked at is that of the costs.
        now_us: monotonic time.

    Concurrency: none; the controller locks. Time comes with every call.
    Cost: `left` and `look` 0.1 us, a look that is due 10 us.
    """

    def __init__(
        self, initial_ppm: int, options: TrimOptions, cost: CostOptions, now_us: int
    ) -> None:
        self._options = options
        self._initial_ppm = initial_ppm
        self._ppm = options.limited(initial_ppm)
        # End-to-end time as a share of the request's own budget, in parts per million.
        self._use = _window(cost)
        self._looked_us = now_us
        self._was_calm = False
        # Requests that left the queue since the last look.
        self._num_left = 0
        self._num_idle = 0

    @property
    def ppm(self) -> int:
        """f now, in parts per million."""
        return self._ppm

    def reconfigure(self, initial_ppm: int, options: TrimOptions) -> None:
        """Takes other options; f starts anew only where `initial_ppm` differs."""
        if initial_ppm != self._initial_ppm:
            self._ppm = initial_ppm
        self._initial_ppm, self._options = initial_ppm, options
        self._ppm = options.limited(self._ppm)

    def start_window(self, cost: CostOptions) -> None:
        """Takes a window of another shape, empty."""
        self._use = _window(cost)

    def left(self, *, is_idle: bool) -> None:
        """Notes a request that left the queue, and whether it found nobody there."""
        self._num_left += 1
        self._num_idle += is_idle

    def record(self, use_ppm: int, now_us: int) -> None:
        """Notes an answer: the share of its budget that it took, end to end."""
        self._use.record(use_ppm, now_us)

    def look(self, now_us: int) -> None:
        """Moves f when the interval is over."""
        if now_us - self._looked_us < self._options.interval_us:
            return
        self._looked_us = now_us
        is_calm = self._takes_calm()
        if is_calm and not self._was_calm and self._ppm < self._initial_ppm:
            # Those who stood in the queue that is gone say nothing of now.
            self._use.clear()
        self._was_calm = is_calm
        self._move(now_us, is_calm=is_calm)

    def _takes_calm(self) -> bool:
        """Whether enough of the requests since the last look found nobody waiting."""
        num_left, num_idle = self._num_left, self._num_idle
        self._num_left = self._num_idle = 0
        return num_idle * MILLION >= self._options.calm_ratio_ppm * max(num_left, 1)

    def _move(self, now_us: int, *, is_calm: bool) -> None:
        answers = self._use.at(now_us)
        if len(answers) < self._options.min_samples:
            return
        use = Use(
            answers.quantile_us(950),
            answers.quantile_us(990) if len(answers) >= MIN_TAIL_SAMPLES else 0,
            MILLION,
        )
        former_ppm = self._ppm
        home_ppm = self._initial_ppm if is_calm else 0
        self._ppm = trimmed_fit_ppm(former_ppm, use, self._options, home_ppm)
        if self._ppm < former_ppm:
            # Those answers were planned with the former f: they must not count again.
            self._use.clear()


def _window(cost: CostOptions) -> WindowedHistogram:
    return WindowedHistogram(cost.window_us, cost.num_slices)
