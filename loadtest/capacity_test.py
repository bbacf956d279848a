"""The search for a capacity, alone and against a server with a known one."""

import pytest

from capacity import CapacityOptions, Holds, capacity_of, highest_rate, in_time
from load_run_fixture import run_of
from stepwell.base.errors import FailedPreconditionError
from stepwell.client.types import Tier
from tiny_shop import Shop


@pytest.mark.parametrize("first", [1.5, 90.0, 100.0, 5_000.0])
@pytest.mark.parametrize("limit", [3.0, 100.0, 7_000.0])
def test_finds_the_limit_from_below_and_from_above(first: float, limit: float) -> None:
    asked = []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    found = highest_rate(holds, first, "it")
    assert limit / 1.06 <= found <= limit
    assert len(asked) <= 24


def test_what_holds_at_no_rate_is_an_error() -> None:
    with pytest.raises(FailedPreconditionError, match="FULL holds its budget at no"):
        highest_rate(lambda _: False, 50.0, "FULL")


@pytest.mark.parametrize(
    ("num_late", "num_refused", "num_lower", "void", "held"),
    [
        (0, 0, 0, "", True),
        (1, 0, 0, "", True),
        (2, 0, 0, "", False),
        (0, 2, 0, "", False),
        (0, 0, 2, "", False),
        (0, 0, 0, "late", False),
    ],
)
def test_late_refused_and_lower_answers_are_not_in_time(
    num_late: int, num_refused: int, num_lower: int, void: str, held: bool
) -> None:
    run = run_of(
        [25.0] * num_late + [5.0] * (100 - num_late),
        status=[8] * num_refused + [0] * (100 - num_refused),
        tier=[2] * num_lower + [1] * (100 - num_lower),
        void=void,
    )
    assert in_time(run, Tier.FULL, 20.0) is held


def test_a_rate_above_what_a_queue_can_serve_does_not_hold(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.delay_s, shop.one_at_a_time = 0.005, True
    verdicts = {}

    def look(holds: Holds, first: float, what: str) -> float:
        verdicts.update({rate: holds(rate) for rate in (40.0, 400.0)})
        return first

    monkeypatch.setattr("capacity.highest_rate", look)
    options = CapacityOptions(budget_ms=100.0, seconds_a_step=0.3)
    found = capacity_of(shop.address, ["u"], Tier.FULL, options)
    assert verdicts == {40.0: True, 400.0: False}
    # The first rate looked at comes from what the server says that a call costs it.
    assert found == pytest.approx(0.4 / 0.000_65)
