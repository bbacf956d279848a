"""Numbers as protobuf writes them."""

import pytest

from stepwell.base.protobuf_wire import varint


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        ((1 << 63) - 1, "ffffffffffffffff7f"),
    ],
)
def test_seven_bits_a_byte_the_lowest_first(number: int, encoded: str) -> None:
    assert varint(number).hex() == encoded
