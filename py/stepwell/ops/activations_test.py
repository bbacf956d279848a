"""Codes between int8 layers: against the definition, odd sizes, bad input."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stepwell.ops.activations import (
    finish_activations,
    quantize_activations,
    zero_point,
)

SIZES = [(0, 5), (3, 0), (1, 1), (5, 33), (4, 415), (700, 512)]


def _case(
    num_rows: int, width: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(num_rows * 1_000 + width)
    values = torch.randn(num_rows, width, generator=random).to(dtype)
    scales = torch.rand(num_rows, generator=random) + 0.5
    return values, scales, torch.randn(width, generator=random)


def _defined(values: Tensor, scales: Tensor, bias: Tensor, relu: bool) -> Tensor:
    found = values.double() * scales.double()[:, None] + bias.double()
    return found.relu() if relu else found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_codes_are_within_half_a_step(
    size: tuple[int, int], relu: bool, dtype: torch.dtype
) -> None:
    values, scales, bias = _case(*size, dtype)
    expected = _defined(values, scales, bias, relu)
    codes, steps = quantize_activations(values, scales, bias, relu)
    assert codes.dtype == torch.uint8
    assert codes.shape == size
    assert steps.dtype == torch.float32
    found = (codes.double() - zero_point(relu)) * steps.double()[:, None]
    assert ((found - expected).abs() <= 0.501 * steps.double()[:, None]).all()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_finished_values_are_the_definition(size: tuple[int, int], relu: bool) -> None:
    values, scales, bias = _case(*size)
    expected = _defined(values, scales, bias, relu)
    plain = finish_activations(values, scales, bias, relu, "float32")
    torch.testing.assert_close(plain, expected.float())
    half = finish_activations(values, scales, bias, relu, "bfloat16")
    assert torch.equal(half, plain.bfloat16())


def test_a_row_does_not_depend_on_its_batch() -> None:
    values, scales, bias = _case(65, 100)
    codes, steps = quantize_activations(values, scales, bias)
    for row in (0, 31, 64):
        part = slice(row, row + 1)
        one = quantize_activations(values[part], scales[part], bias)
        assert torch.equal(codes[part], one[0])
        assert torch.equal(steps[part], one[1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": torch.zeros(3)}, "values must have 2 dimensions, got 1"),
        (
            {"values": torch.zeros(3, 4, dtype=torch.float64)},
            "values must be float32 or bfloat16, got float64",
        ),
        ({"values": torch.zeros(4, 3).t()}, "values must be contiguous"),
        ({"row_scales": torch.zeros(2)}, "row_scales must have size 3 .* got 2"),
        ({"bias": torch.zeros(5)}, "bias must have size 4 .* got 5"),
        ({"bias": torch.zeros(4).bfloat16()}, "bias must be float32, got bfloat16"),
    ],
)
def test_names_what_is_wrong(changed: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "values": torch.zeros(3, 4),
        "row_scales": torch.ones(3),
        "bias": torch.zeros(4),
        "relu": False,
    }
    with pytest.raises(RuntimeError, match=f"quantize_activations: {message}"):
        quantize_activations(**(good | changed))
    with pytest.raises(RuntimeError, match=f"finish_activations: {message}"):
        finish_activations(**(good | changed), output_dtype="float32")


def test_refuses_an_output_it_does_not_know() -> None:
    with pytest.raises(RuntimeError, match="got float16"):
        finish_activations(torch.zeros(1, 1), None, None, False, "float16")  # type: ignore[arg-type]


def test_keeps_the_contracts_of_a_torch_operator() -> None:
    values, scales, bias = _case(5, 33)
    ops = torch.ops.stepwell
    torch.library.opcheck(ops.quantize_activations, (values, scales, None, True))
    torch.library.opcheck(
        ops.finish_activations, (values, None, bias, False, "bfloat16")
    )


def test_survives_compilation_and_export() -> None:
    class Between(torch.nn.Module):
        def forward(self, values: Tensor, scales: Tensor, bias: Tensor) -> Tensor:
            codes, steps = quantize_activations(values, scales, bias, True)
            return finish_activations(codes.float(), steps, None, False, "float32")

    case = _case(5, 33)
    expected = Between()(*case)
    compiled = torch.compile(Between(), backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(*case), expected)
    exported = torch.export.export(Between(), case).module()
    assert torch.equal(exported(*case), expected)
