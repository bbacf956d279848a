"""Where time is cut."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.event_table import EventTable
from stepwell.training.training_cuts import cuts_of, natural_period_days


def _seconds(text: str) -> int:
    return int(np.datetime64(text, "s").astype(np.int64))


@pytest.fixture
def year(events: EventTable) -> EventTable:
    """A table whose first and last events are those of the Complete Journey."""
    times = np.sort(events.times)
    times[0], times[-1] = _seconds("2017-01-01T11:53:26"), _seconds("2018-01-01T04:01")
    return replace(events, times=times)


def test_cuts_the_complete_journey_where_the_protocol_does(year: EventTable) -> None:
    test = cuts_of(year, "test", 35)
    assert test.release_cut == _seconds("2017-11-26")
    assert test.evaluation_end == _seconds("2018-01-01T04:01") + 1
    validation = cuts_of(year, "validation", 35)
    assert validation.release_cut == _seconds("2017-10-22")
    assert validation.evaluation_end == _seconds("2017-11-26")


@pytest.mark.parametrize("split", ["test", "validation", "none"])
def test_no_label_period_reaches_past_the_release(year: EventTable, split: str) -> None:
    cuts = cuts_of(year, split, 35)
    assert len(set(cuts.snapshot_cuts)) == len(cuts.snapshot_cuts) > 2
    for start in cuts.snapshot_cuts:
        assert start + cuts.period_seconds <= cuts.release_cut
        assert start >= year.times[0] + (cuts.release_cut - year.times[0]) // 3


def test_nothing_is_held_out_on_request(year: EventTable) -> None:
    cuts = cuts_of(year, "none", 35)
    assert cuts.release_cut == cuts.evaluation_end == int(year.times[-1]) + 1


def test_refuses_periods_that_do_not_fit(year: EventTable) -> None:
    with pytest.raises(InvalidArgumentError, match="too few for periods of 300 days"):
        cuts_of(year, "test", 300)
    with pytest.raises(InvalidArgumentError, match="split is 'later'"):
        cuts_of(year, "later", 35)


def test_period_is_the_data_sets_own_or_a_tenth(
    year: EventTable, tmp_path: Path
) -> None:
    assert natural_period_days(tmp_path, year) == 36
    (tmp_path / "dataset.json").write_text(json.dumps({"period_days": 35}))
    assert natural_period_days(tmp_path, year) == 35
    short = replace(year, times=np.array([0, DAY_SECONDS]))
    assert natural_period_days(tmp_path / "elsewhere", short) == 1
