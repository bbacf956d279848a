"""What lies between the int8 layers of a serving MLP: quantise, and finish, rows."""

from typing import Literal

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

OutputDtype = Literal["float32", "bfloat16"]
SIGNED_ZERO_POINT = 128
_QUANTIZE = "stepwell::quantize_activations"
_FINISH = "stepwell::finish_activations"
_quantize = torch.ops.stepwell.quantize_activations.default
_finish = torch.ops.stepwell.finish_activations.default


def zero_point(relu: bool) -> int:
    """Returns the code of zero: 128, or 0 behind a ReLU, where nothing is negative."""
    return 0 if relu else SIGNED_ZERO_POINT


def quantize_activations(
    values: Tensor,
    row_scales: Tensor | None = None,
    bias: Tensor | None = None,
    relu: bool = False,
) -> tuple[Tensor, Tensor]:
    """Returns rows as codes of 8 bits, each row with a scale of its own.

    What is quantised is v = values * row_scales[:, None] + bias, and max(0, v) with
    relu: the end of one int8 layer and the start of the next in one pass. A code stands
    for (code - zero_point(relu)) * scale. The scale is the row's largest magnitude
    over 127, over 255 with relu, so the error is at most half a scale; as every row has
    its own, no row's codes depend on the other rows of the batch.

    Args:
        values: float32 or bfloat16 [B, K], contiguous. B and K may be 0.
        row_scales: float32 [B], contiguous; all ones when None.
        bias: float32 [K], contiguous; all zeros when None.
        relu: whether negative values count as 0.
    Returns:
        uint8 [B, K] and float32 [B]. A row whose values are all below 1e-30 has scale
        0; one with NaN or infinity has scale NaN and only codes of zero.
    Raises:
        RuntimeError: wrong rank, dtype, size, device or layout; names the argument,
            what was expected and what came.
    Gradients: none. Autocast leaves it alone. CPU only.
    Determinism: the same bits whatever the batch and the number of threads.
    Concurrency: safe; releases the GIL. Uses torch's threads only when a batch has more
        than 2^18 values.
    Cost: one read of the values; some 0.1 ns each; about 5 us a call besides.
    Source: per-token dynamic quantisation as in Yao et al., arXiv:2206.01861, section
        4.1. Differences: unsigned codes; behind a ReLU all 256 of them.
    """
    codes, scales = _quantize(values, row_scales, bias, relu)
    return codes, scales


def finish_activations(
    values: Tensor,
    row_scales: Tensor | None,
    bias: Tensor | None,
    relu: bool,
    output_dtype: OutputDtype,
) -> Tensor:
    """Returns values * row_scales[:, None] + bias, max(0, that) with relu.

    The end of an int8 layer that no other int8 layer follows.

    Args:
        values, row_scales, bias, relu: as in `quantize_activations`.
        output_dtype: "float32", or "bfloat16", rounded to nearest even.
    Returns:
        output_dtype [B, K].
    Raises:
        RuntimeError: as `quantize_activations`, or an unknown output_dtype.
    Gradients, determinism, concurrency, cost: as `quantize_activations`.
    """
    out: Tensor = _finish(values, row_scales, bias, relu, output_dtype)
    return out


def _fake_quantize(
    values: Tensor, row_scales: Tensor | None, bias: Tensor | None, relu: bool
) -> tuple[Tensor, Tensor]:
    scales = values.new_empty((values.shape[0],), dtype=torch.float32)
    return values.new_empty(values.shape, dtype=torch.uint8), scales


def _fake_finish(
    values: Tensor,
    row_scales: Tensor | None,
    bias: Tensor | None,
    relu: bool,
    output_dtype: str,
) -> Tensor:
    dtype = torch.bfloat16 if output_dtype == "bfloat16" else torch.float32
    return values.new_empty(values.shape, dtype=dtype)


_RANKS = {"values": 2, "row_scales": 1, "bias": 1}
library.register_fake(_QUANTIZE, _fake_quantize, _RANKS)
library.register_fake(_FINISH, _fake_finish, _RANKS)
