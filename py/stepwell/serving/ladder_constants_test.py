"""Constants as messages: every one is there, and a change is all or nothing."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import LadderController, LadderOptions
from stepwell.serving.card_costs import DEFAULT_COSTS
from stepwell.serving.ladder_constants import (
    Changed,
    LadderSettings,
    PinnedState,
    breaker_message,
    ladder_message,
    with_constants,
)
from stepwell_pb.v1 import admin_pb2, common_pb2


def _names(options: Any) -> dict[str, Any]:
    return {
        field.name: _names(value)
        if is_dataclass(value := getattr(options, field.name))
        else None
        for field in fields(options)
    }


def _wire_names(descriptor: Any) -> dict[str, Any]:
    return {
        field.name: _wire_names(field.message_type) if field.message_type else None
        for field in descriptor.fields
    }


def test_the_messages_have_every_constant_and_no_other() -> None:
    ladder, breaker = admin_pb2.LadderConstants, admin_pb2.BreakerConstants
    assert _names(LadderOptions()) == _wire_names(ladder.DESCRIPTOR)
    assert _names(BreakerOptions(1)) == _wire_names(breaker.DESCRIPTOR)


def test_what_is_not_said_stays_and_zero_is_said() -> None:
    options = LadderOptions()
    assert with_constants(options, ladder_message(options)) == options
    said = admin_pb2.LadderConstants(
        standing_us=0, trim=admin_pb2.TrimConstants(low_ppm=200_000)
    )
    changed = with_constants(options, said)
    assert (changed.standing_us, changed.trim.low_ppm) == (0, 200_000)
    assert changed.trim.high_ppm == options.trim.high_ppm
    assert changed.policy == options.policy


def _settings() -> tuple[LadderSettings, LadderController, CircuitBreaker]:
    breaker = CircuitBreaker(BreakerOptions(slow_call_us=5_000))
    ladder = LadderController(FakeClock(), DEFAULT_COSTS, {"store": breaker})
    return LadderSettings(ladder, {"store": breaker}), ladder, breaker


def _request(budget_us: int, min_calls: int, name: str = "store") -> Any:
    return admin_pb2.SetLadderRequest(
        ladder=admin_pb2.LadderConstants(latency_budget_us=budget_us),
        breakers={name: admin_pb2.BreakerConstants(min_calls=min_calls)},
    )


def test_a_change_reaches_ladder_and_breakers_and_says_what_it_was() -> None:
    settings, ladder, breaker = _settings()
    request = _request(20_000, 7)
    former = settings.former(request)
    assert settings.apply(request) == [
        Changed("ladder.latency_budget_us", 100_000, 20_000),
        Changed("breakers.store.min_calls", 10, 7),
    ]
    assert ladder.options.latency_budget_us == 20_000
    assert breaker.options == BreakerOptions(slow_call_us=5_000, min_calls=7)
    assert former.previous_ladder.latency_budget_us == 100_000
    assert former.previous_breakers["store"] == breaker_message(BreakerOptions(5_000))
    assert settings.apply(request) == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (_request(20_000, 0), "min_calls is 0"),
        (_request(0, 7), "latency_budget_us is 0"),
        (_request(20_000, 7, "stores"), "breakers is 'stores', must be one of: store"),
    ],
)
def test_one_wrong_constant_changes_none(request_: Any, said: str) -> None:
    settings, ladder, breaker = _settings()
    with pytest.raises(InvalidArgumentError, match=said):
        settings.apply(request_)
    assert ladder.options == LadderOptions()
    assert breaker.options == BreakerOptions(slow_call_us=5_000)


def test_pins_add_up_and_survive_as_text() -> None:
    pinned = PinnedState()
    assert PinnedState.from_text(pinned.to_text()) == pinned
    pinned.tier = common_pb2.TIER_POPULAR
    pinned.merge(_request(20_000, 7))
    later = admin_pb2.SetLadderRequest(
        breakers={"store": admin_pb2.BreakerConstants(open_us=9)}
    )
    pinned.merge(later)
    again = PinnedState.from_text(pinned.to_text())
    assert again == pinned
    assert again.tier == common_pb2.TIER_POPULAR
    assert again.constants.ladder.latency_budget_us == 20_000
    store = again.constants.breakers["store"]
    assert (store.min_calls, store.open_us) == (7, 9)
    assert PinnedState.from_text("") == PinnedState()
