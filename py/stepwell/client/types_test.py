"""The client's enums against the wire's."""

import enum

import pytest

from stepwell.client.types import EventType, Priority, Reason, Tier
from stepwell_pb.v1 import common_pb2, recommend_pb2


@pytest.mark.parametrize(
    ("ours", "wire", "prefix"),
    [
        (Tier, common_pb2.Tier, "TIER_"),
        (Reason, common_pb2.Reason, "REASON_"),
        (EventType, common_pb2.EventType, "EVENT_TYPE_"),
        (Priority, recommend_pb2.Priority, "PRIORITY_"),
    ],
)
def test_names_and_numbers_are_those_of_the_wire(
    ours: type[enum.IntEnum],
    wire: object,
    prefix: str,
) -> None:
    expected = {name.removeprefix(prefix): n for name, n in wire.items()}  # type: ignore[attr-defined]
    assert {member.name: member.value for member in ours} == expected


def test_a_number_that_is_new_is_unspecified_and_other_values_are_refused() -> None:
    assert Tier(77) is Tier.UNSPECIFIED
    with pytest.raises(ValueError, match="FULL"):
        Tier("FULL")  # type: ignore[arg-type]
