"""Where time is cut: held-out test, validation inside train, the ranker's labels."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stepwell.base.errors import InvalidArgumentError
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.event_table import EventTable

HELD_OUT_SHARE = 0.1
MAX_SNAPSHOTS = 16
SPLITS = ("test", "validation", "none")


@dataclass(frozen=True, slots=True)
class Cuts:
    """Cuts of one training, unix seconds.

    Attributes:
        release_cut: the release knows events before it.
        evaluation_end: targets are in [release_cut, evaluation_end); equal when nothing
            is held out.
        period_seconds: length of a label period.
        snapshot_cuts: where the ranker's label periods may start, in the order in which
            they are taken; each ends at or before the release's cut.
    """

    release_cut: int
    evaluation_end: int
    period_seconds: int
    snapshot_cuts: tuple[int, ...]


def cuts_of(table: EventTable, split: str, period_days: int) -> Cuts:
    """Returns the cuts of a training.

    Args:
        table: at least one event.
        split: "test" holds out the last tenth of time, from a midnight (UTC) on;
            "validation" the period before that, the test being out of sight; "none"
            holds out nothing.
        period_days: length of a label period.
    Raises:
        InvalidArgumentError: unknown split, or no room for one label period.
    """
    if split not in SPLITS:
        raise InvalidArgumentError(
            f"split is {split!r}, must be one of: {', '.join(SPLITS)}", "split"
        )
    first, last = int(table.times[0]), int(table.times[-1])
    period = period_days * DAY_SECONDS
    held_out = first + (1.0 - HELD_OUT_SHARE) * (last + 1 - first)
    test_cut = int(-(-held_out // DAY_SECONDS)) * DAY_SECONDS
    release_cut, end = {
        "test": (test_cut, last + 1),
        "validation": (test_cut - period, test_cut),
        "none": (last + 1, last + 1),
    }[split]
    # The earliest snapshot must still have a third of the past to look back on.
    earliest = first + (release_cut - first) // 3
    starts = [release_cut - period]
    starts += [release_cut - 2 * period, release_cut - period - period // 2]
    starts += [release_cut - 2 * period - period // 2 - k * period for k in range(13)]
    starts = [start for start in starts if start >= earliest][:MAX_SNAPSHOTS]
    if not starts or release_cut <= first:
        raise InvalidArgumentError(
            f"{(last - first) // DAY_SECONDS} days of events are too few for periods "
            f"of {period_days} days",
            "period_days",
        )
    return Cuts(release_cut, end, period, tuple(starts))


def natural_period_days(data_dir: Path, table: EventTable) -> int:
    """Returns the data set's own period, else a tenth of its days, at least 1."""
    info = data_dir / "dataset.json"
    if info.exists():
        days = json.loads(info.read_text()).get("period_days")
        if isinstance(days, int) and days >= 1:
            return days
    span_days = int(np.ptp(table.times)) // DAY_SECONDS if len(table) else 0
    return max(int(span_days * HELD_OUT_SHARE), 1)
