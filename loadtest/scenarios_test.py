"""Scenarios have the shape that their names say."""

import numpy as np
import pytest

from scenarios import HEAVY_SHARE, SCENARIOS, Fault, Setting, Work
from slo import INTERACTIVE_LANE
from stepwell.base.errors import InvalidArgumentError
from stepwell.client.types import Priority
from stepwell_pb.v1 import recommend_pb2

SETTING = Setting(rate=200.0, seconds=30.0, user_ids=["u1", "u2", "u3"])


def _thirds(work: Work) -> list[float]:
    """Calls a second in each third."""
    counts, _ = np.histogram(work.schedule.due_s, bins=3, range=(0, 30))
    return [float(count) / 10 for count in counts]


def _asked(work: Work, lane: int) -> list[recommend_pb2.RecommendRequest]:
    read = recommend_pb2.RecommendRequest.FromString
    return [read(request) for request in work.lanes[lane].requests]


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("steady", [200, 200, 200]),
        ("ramp", [50, 110, 170]),
        ("spike", [33, 200, 33]),
        ("diurnal", [73, 184, 73]),
        ("hot-user", [200, 200, 200]),
    ],
)
def test_the_rate_follows_the_scenario(name: str, rates: list[float]) -> None:
    work = SCENARIOS[name].build(SETTING)
    # Five deviations of a Poisson count over ten seconds.
    for measured, expected in zip(_thirds(work), rates, strict=True):
        assert measured == pytest.approx(expected, abs=5 * (expected / 10) ** 0.5)


def test_a_spike_is_the_middle_third_and_says_so() -> None:
    work = SCENARIOS["spike"].build(SETTING)
    assert work.trouble == (10.0, 20.0)


@pytest.mark.parametrize("name", ["slow-dependency", "dead-dependency", "retry-storm"])
def test_a_fault_begins_and_ends_with_the_middle_third(name: str) -> None:
    seen: list[str] = []
    fault = Fault(lambda: seen.append("begin"), lambda: seen.append("end"))
    with pytest.raises(InvalidArgumentError, match="goes wrong"):
        SCENARIOS[name].build(SETTING)
    work = SCENARIOS[name].build(Setting(200.0, 30.0, ["u1"], fault=fault))
    assert [event.due_s for event in work.events] == [10.0, 20.0]
    for event in work.events:
        event.act()
    assert seen == ["begin", "end"]
    assert (work.lanes[0].retries is not None) == (name == "retry-storm")


def test_a_fault_may_have_times_of_its_own() -> None:
    fault = Fault(lambda: None, lambda: None)
    setting = Setting(200.0, 30.0, ["u1"], fault=fault, trouble_s=(2.0, 3.5))
    work = SCENARIOS["slow-dependency"].build(setting)
    assert [event.due_s for event in work.events] == [2.0, 3.5]
    assert work.trouble == (2.0, 3.5)


def test_a_hot_user_is_asked_for_by_half_of_the_calls() -> None:
    work = SCENARIOS["hot-user"].build(SETTING)
    assert {request.user_id for request in _asked(work, 1)} == {"u1"}
    assert float((work.schedule.lane == 1).mean()) == pytest.approx(0.5, abs=0.05)


def test_a_heavy_request_wants_much_and_leaves_out_more() -> None:
    work = SCENARIOS["heavy-request"].build(SETTING)
    heavy = _asked(work, 1)[0]
    assert (heavy.num_items, len(heavy.exclude_item_ids)) == (500, 1_000)
    share = float((work.schedule.lane == 1).mean())
    assert share == pytest.approx(HEAVY_SHARE, abs=0.006)


def test_priorities_share_the_rate() -> None:
    work = SCENARIOS["priorities"].build(SETTING)
    assert [lane.name for lane in work.lanes] == [INTERACTIVE_LANE, "batch"]
    assert _asked(work, 1)[0].priority == int(Priority.BATCH)
    assert float((work.schedule.lane == 1).mean()) == pytest.approx(0.5, abs=0.05)
    assert sum(_thirds(work)) == pytest.approx(600, abs=40)
