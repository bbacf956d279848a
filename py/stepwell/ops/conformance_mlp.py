"""Conformance cases of the ops between int8 layers."""

from torch import Tensor

from stepwell.ops import activations  # noqa: F401  registers what is tested
from stepwell.ops.conformance_cases import Arguments, OpCase, random_floats

_WIDTH = 37


def _rows(batch: int) -> Arguments:
    return (
        random_floats(batch, _WIDTH),
        random_floats(batch, seed=1).abs() + 0.5,
        random_floats(_WIDTH, seed=2),
        True,
    )


def _rows_to_bfloat16(batch: int) -> Arguments:
    return (*_rows(batch), "bfloat16")


def _finished(
    values: Tensor, row_scales: Tensor, bias: Tensor, relu: bool, output_dtype: str
) -> Tensor:
    del relu, output_dtype
    return (values * row_scales[:, None] + bias).relu()


_GROWS = {"values": 0, "row_scales": 0}

CASES = [
    OpCase("quantize_activations", _rows, batch_dims=_GROWS),
    OpCase(
        "finish_activations",
        _rows_to_bfloat16,
        batch_dims=_GROWS,
        reference=_finished,
        tolerance=1e-2,
    ),
]
