"""The layers of a packed MLP, each in the form that its product runs on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from stepwell.ops.activations import (
    finish_activations,
    quantize_activations,
    zero_point,
)

_linear = torch.ops.mkldnn._linear_pointwise.default
_pack = torch.ops.mkldnn._reorder_linear_weight
_int8_linear = torch.ops.onednn.qlinear_pointwise.default
_int8_pack = torch.ops.onednn.qlinear_prepack


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """A linear layer and whether a ReLU stands behind and before it."""

    linear: nn.Linear
    relu: bool
    after_relu: bool

    @property
    def out_features(self) -> int:
        """Columns of the result."""
        return self.linear.out_features

    @property
    def num_weights(self) -> int:
        """Elements of the matrix."""
        return self.linear.weight.numel()

    @property
    def weight(self) -> Tensor:
        """float32 [out, in], not to be changed."""
        return self.linear.weight.detach().float()

    @property
    def bias(self) -> Tensor:
        """float32 [out], a copy."""
        return self.linear.bias.detach().float().clone()


class Step(Protocol):
    """What a chain is made of."""

    def __call__(self, x: Tensor) -> Tensor: ...


class PlainLayer:
    """One float32 or bfloat16 layer, its bias and ReLU inside the product."""

    def __init__(
        self, layer: DenseLayer, dtype: torch.dtype, output: torch.dtype
    ) -> None:
        self._dtype, self._output = dtype, output
        self._weight = _pack(layer.weight.to(dtype).contiguous())
        self._bias = layer.bias.to(dtype)
        self._after = "relu" if layer.relu else "none"

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = _linear(
            x.to(self._dtype), self._weight, self._bias, self._after, [], ""
        )
        return found.to(self._output)


class NarrowLayer:
    """A float32 layer of few outputs: not worth packing."""

    def __init__(self, layer: DenseLayer, output: torch.dtype) -> None:
        self._weight, self._bias = layer.weight.clone(), layer.bias
        self._relu, self._output = layer.relu, output

    def __call__(self, x: Tensor) -> Tensor:
        found = functional.linear(x.float(), self._weight, self._bias)
        return (found.relu_() if self._relu else found).to(self._output)


class Int8Layers:
    """Int8 layers in a row: between them activations go from codes to codes."""

    def __init__(self, layers: Sequence[DenseLayer], output: torch.dtype) -> None:
        self._layers = [_Int8Matrix(layer) for layer in layers]
        self._output: Literal["float32", "bfloat16"] = (
            "bfloat16" if output == torch.bfloat16 else "float32"
        )

    def __call__(self, x: Tensor) -> Tensor:
        first, last = self._layers[0], self._layers[-1]
        codes, scales = quantize_activations(x, relu=first.after_relu)
        for layer, following in pairwise(self._layers):
            products = layer.products(codes)
            codes, scales = quantize_activations(
                products, scales, layer.bias, following.after_relu
            )
        products = last.products(codes)
        return finish_activations(products, scales, last.bias, last.relu, self._output)


class _Int8Matrix:
    """Weights as codes of 8 bits, with a scale for each output."""

    def __init__(self, layer: DenseLayer) -> None:
        weight = layer.weight
        # A scale of 0 would make 0 / 0 of an output without weights.
        steps = (weight.abs().amax(1) / 127).clamp(min=torch.finfo().tiny)
        codes = torch.round(weight / steps[:, None]).to(torch.int8)
        self._weight = _int8_pack(codes, None)
        self._weight_steps = steps
        self._weight_zeros = torch.zeros(len(steps), dtype=torch.int64)
        self._zero_point = zero_point(layer.after_relu)
        self.bias, self.relu = layer.bias, layer.relu
        self.after_relu = layer.after_relu

    def products(self, codes: Tensor) -> Tensor:
        """Returns float32 [B, out]: the product in units of the rows' scales."""
        found: Tensor = _int8_linear(
            codes,
            1.0,
            self._zero_point,
            self._weight,
            self._weight_steps,
            self._weight_zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return found
