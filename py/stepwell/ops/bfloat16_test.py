"""Rounding to bfloat16 against torch's."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from stepwell.ops.bfloat16 import to_bfloat16


def _by_torch(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    rounded = torch.from_numpy(values).bfloat16().view(torch.int16)
    return rounded.numpy().view(np.uint16)


def _floats(bits: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.array(bits, np.uint32).view(np.float32)


def test_has_the_bits_of_torch_on_every_exponent() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 1 << 32, 1_000_003, np.uint32).view(np.float32)
    values = values[~np.isnan(values)]
    np.testing.assert_array_equal(to_bfloat16(values), _by_torch(values))


@pytest.mark.parametrize("sign", [0, 1 << 31])
def test_has_the_bits_of_torch_where_rounding_is_hard(sign: int) -> None:
    ends = (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)
    # Zero and denormals, odd and even bits, and the largest, which rounds to infinity.
    starts = (0, 1, 0x7F, 0x80, 0x3F80, 0x3F81, 0x7F7F)
    values = _floats([sign | start << 16 | end for start in starts for end in ends])
    np.testing.assert_array_equal(to_bfloat16(values), _by_torch(values))
    infinity = _floats([sign | 0x7F80_0000])
    np.testing.assert_array_equal(to_bfloat16(infinity), _by_torch(infinity))


def test_no_number_stays_none() -> None:
    # With a payload in the lower half only, and with every bit set.
    values = _floats([0x7FC0_0000, 0x7F80_0001, 0xFF80_FFFF, 0x7FFF_FFFF, 0xFFFF_FFFF])
    rounded = to_bfloat16(values).astype(np.uint32) << 16
    assert np.isnan(rounded.view(np.float32)).all()


@pytest.mark.parametrize("shape", [(0,), (3, 0), (2, 3, 5)])
def test_keeps_the_shape(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    turned = values.T
    np.testing.assert_array_equal(to_bfloat16(turned), to_bfloat16(values).T)
    assert to_bfloat16(values).shape == shape
