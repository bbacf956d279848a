"""The search for a capacity, alone and against a server with a known one."""

import pytest

from capacity import Capacity, CapacityOptions, capacity_of, verdict_of
from load_run_fixture import run_of
from rate_search import Measure, Search, Verdict
from stepwell.base.errors import FailedPreconditionError
from stepwell.client.types import Tier
from tiny_shop import Shop


@pytest.mark.parametrize(
    ("num_late", "num_refused", "num_lower", "void", "verdict"),
    [
        (0, 0, 0, "", Verdict.HOLDS),
        (1, 0, 0, "", Verdict.HOLDS),
        (2, 0, 0, "", Verdict.FAILS),
        (0, 2, 0, "", Verdict.FAILS),
        (0, 0, 2, "", Verdict.FAILS),
        (0, 0, 0, "late", Verdict.VOID),
    ],
)
def test_late_refused_and_lower_answers_are_not_in_time(
    num_late: int, num_refused: int, num_lower: int, void: str, verdict: Verdict
) -> None:
    run = run_of(
        [25.0] * num_late + [5.0] * (100 - num_late),
        status=[8] * num_refused + [0] * (100 - num_refused),
        tier=[2] * num_lower + [1] * (100 - num_lower),
        void=void,
    )
    assert verdict_of(run, 20.0, Tier.FULL) is verdict


def test_any_tier_counts_where_none_is_asked_for() -> None:
    run = run_of([5.0] * 100, tier=[1, 2, 3, 3] * 25)
    assert verdict_of(run, 20.0) is Verdict.HOLDS
    assert verdict_of(run, 20.0, Tier.POPULAR) is Verdict.FAILS


def test_a_run_without_calls_shows_nothing() -> None:
    assert verdict_of(run_of([]), 20.0) is Verdict.VOID


def test_a_rate_above_what_a_queue_can_serve_does_not_hold(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.delay_s, shop.one_at_a_time = 0.005, True
    below: list[Verdict] = []
    above: list[Verdict] = []

    def look(search: Search, measure: Measure) -> float:
        # On a machine that others use a run may be void, or late once.
        while Verdict.HOLDS not in below and len(below) < 5:
            below.append(measure(40.0))
        above.append(measure(400.0))
        return next(search)

    monkeypatch.setattr("capacity.found", look)
    options = CapacityOptions(budget_ms=100.0, seconds_a_step=0.2)
    first = capacity_of(shop.address, ["u"], Tier.FULL, options)
    assert below[-1] is Verdict.HOLDS
    assert above[-1] is not Verdict.HOLDS
    # The first rate looked at comes from what the server says that a call costs it.
    assert first == pytest.approx(0.4 / 0.000_65)


def test_a_known_capacity_is_where_the_search_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("capacity.found", lambda search, measure: next(search))
    options = CapacityOptions(around=Capacity(500.0, 1_500.0, 8_000.0))
    # Nobody listens there: it is not even asked what a call costs it.
    assert capacity_of("127.0.0.1:1", ["u"], Tier.REDUCED, options) == 1_500.0


def test_what_holds_at_no_rate_is_an_error(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capacity.found", lambda search, measure: 0.0)
    monkeypatch.setattr("capacity._FIRST_LOOK_SECONDS", 0.3)
    with pytest.raises(FailedPreconditionError, match="FULL holds its budget at no"):
        capacity_of(shop.address, ["u"], Tier.FULL, CapacityOptions())
