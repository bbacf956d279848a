"""A writer's watermark: its bytes and its age."""

import pytest

from stepwell.base.errors import DataLossError
from stepwell.schema.writer_watermark import WriterWatermark


def test_bytes_are_two_little_endian_numbers() -> None:
    blob = WriterWatermark(wall_us=258, next_offset=-1).pack()
    assert blob == b"\x02\x01" + bytes(6) + b"\xff" * 8
    assert WriterWatermark.unpack(blob) == WriterWatermark(258, -1)


@pytest.mark.parametrize("blob", [b"", bytes(15), bytes(17)])
def test_refuses_another_length(blob: bytes) -> None:
    with pytest.raises(DataLossError, match=rf"has {len(blob)} bytes, must be 16"):
        WriterWatermark.unpack(blob)


@pytest.mark.parametrize(("now_us", "age_us"), [(1_500, 500), (1_000, 0), (400, 0)])
def test_is_never_younger_than_now(now_us: int, age_us: int) -> None:
    assert WriterWatermark(1_000, 7).age_us(now_us) == age_us
