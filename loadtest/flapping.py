"""Does the share of FULL swing? Its spread beyond chance, and its period."""

import math

import numpy as np
import numpy.typing as npt

from load_run import LoadRun
from stepwell.client.types import Tier

_MIN_SECONDS = 8
_MIN_DEVIATION = 0.05
_FALSE_ALARM = 0.01


def full_share_by_second(
    run: LoadRun,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Returns float64 [S], the share of FULL of each second's answers; int64 [S], n.

    Seconds without an answer are left out.
    """
    ok = run.ok()
    second = run.due_s[ok].astype(np.int64)
    size = int(second.max()) + 1 if len(second) else 0
    answers = np.bincount(second, minlength=size)
    full = np.bincount(second[run.tier[ok] == Tier.FULL], minlength=size)
    kept = answers > 0
    return full[kept] / answers[kept], answers[kept]


def deviation_beyond_noise(run: LoadRun) -> float:
    """Returns the standard deviation of the share of FULL that chance cannot explain.

    If every call took FULL with one probability p, the share of a second with n answers
    would vary by p (1 - p) / n. What the shares vary by beyond that is the ladder's.
    """
    share, answers = full_share_by_second(run)
    if len(share) < 2:
        return 0.0
    mean = float((share * answers).sum() / answers.sum())
    noise = mean * (1 - mean) * float((1 / answers).mean())
    return math.sqrt(max(float(share.var(ddof=1)) - noise, 0.0))


def period_seconds(run: LoadRun) -> float:
    """Returns the period of a swing of FULL's share, 0 when there is none.

    Source: Fisher's g: the largest ordinate of the periodogram against their sum; noise
        exceeds the limit used in 1 of 100 runs. Trends slower than a quarter of the run
        are no swing, and neither is what stays within 0.05 beyond chance.
    """
    share, _ = full_share_by_second(run)
    if len(share) < _MIN_SECONDS or deviation_beyond_noise(run) < _MIN_DEVIATION:
        return 0.0
    power = np.abs(np.fft.rfft(share - share.mean())[1:]) ** 2
    size = len(power)
    largest = int(power.argmax())
    limit = 1 - (_FALSE_ALARM / size) ** (1 / (size - 1))
    period = len(share) / (largest + 1)
    if power[largest] / power.sum() <= limit or period > len(share) / 4:
        return 0.0
    return float(period)
