"""Numbers as protobuf writes them."""

import pytest

from stepwell.base.protobuf_wire import delimited, varint


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


def test_a_field_of_bytes_begins_with_its_length() -> None:
    assert delimited(b"\x12", b"ab").hex() == "12026162"
    assert delimited(b"\x12", b"x" * 300)[:3].hex() == "12ac02"
    assert delimited(b"\x12", b"").hex() == "1200"
