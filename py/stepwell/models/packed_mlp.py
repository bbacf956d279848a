"""An MLP as serving runs it: weights packed once, in the precision asked for."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Self

import torch
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.packed_layers import (
    DenseLayer,
    Int8Layers,
    NarrowLayer,
    PlainLayer,
    Step,
)
from stepwell.models.precision import (
    Precision,
    check_precision,
    missing_instructions,
)

INT8_MIN_WEIGHTS = 1 << 16
"""Smaller matrices are no faster in int8 than in bfloat16."""
NARROW_OUTPUTS = 8
"""A last layer so narrow stays float32: it reads little, and what it says is rounded
to 8 bits nowhere."""


def usable_precision(wanted: Precision) -> tuple[Precision, str]:
    """Returns the precision that this processor runs natively, and why it is another.

    `missing_instructions` says what each takes of the processor; all take oneDNN.

    Returns:
        (wanted, ""), or ("float32", a sentence that names what is missing).
    Raises:
        InvalidArgumentError: no such precision.
    """
    check_precision(wanted)
    if wanted == "float32":
        return wanted, ""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    missing = missing_instructions(wanted) if has_onednn else "oneDNN"
    if missing:
        return "float32", f"{wanted} needs {missing}, which this processor has not"
    return wanted, ""


class PackedMlp(nn.Module):
    """A chain of linear layers and ReLUs over weights that oneDNN has laid out once.

    float32 layers differ from torch's own by rounding only. bfloat16 layers round
    weights and activations to 8 bits of precision and sum in float32. int8 layers have
    weights of 8 bits with a scale for each output, and activations of 8 bits with a
    scale for each row, found at run time: no calibration, and a row's result does not
    depend on the other rows of its batch. With "int8", layers of less than
    INT8_MIN_WEIGHTS weights are bfloat16. What `forward` returns is float32 unless
    asked, and then a last layer of at most NARROW_OUTPUTS outputs is too.

    Attributes:
        precisions: of each linear layer, in order.
    Concurrency: safe; nothing changes after packing.
    Source: int8 as in Yao et al., arXiv:2206.01861 (per-token activations), weights
        per output instead of per group. The products are oneDNN's.
    """

    def __init__(self, steps: Sequence[Step], precisions: Sequence[Precision]) -> None:
        """For `pack`, which see."""
        super().__init__()
        self._steps = tuple(steps)
        self.precisions = tuple(precisions)

    @classmethod
    def pack(
        cls,
        layers: Iterable[nn.Module],
        precision: Precision,
        output_dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Copies a chain of layers into packed form; the chain is not needed after.

        Args:
            layers: nn.Linear (with bias), nn.ReLU, nn.Dropout (which serving ignores)
                and chains of them, float32, at least one nn.Linear.
            precision: of the products; see the class.
            output_dtype: of the result, torch.float32 or torch.bfloat16.
        Raises:
            InvalidArgumentError: another layer, or no linear one, or the widths do not
                follow on each other, or an unknown precision or output_dtype.
        """
        check_precision(precision)
        if output_dtype not in (torch.float32, torch.bfloat16):
            raise InvalidArgumentError(
                f"output_dtype is {output_dtype}, must be float32 or bfloat16",
                "output_dtype",
            )
        dense = _dense_layers(layers)
        precisions = [_precision_of(layer, precision) for layer in dense]
        is_narrow = dense[-1].out_features <= NARROW_OUTPUTS
        if is_narrow and output_dtype == torch.float32:
            precisions[-1] = "float32"
        return cls(list(_steps_of(dense, precisions, output_dtype)), precisions)

    def forward(self, x: Tensor) -> Tensor:
        """Returns output_dtype [B, out_features of the last layer].

        Args:
            x: float32 or bfloat16 [B, in_features of the first layer]; B may be 0.
                Finite: a NaN spoils its own row only, but oneDNN's ReLU makes it 0,
                so that the row's result may look like any other.
        Raises:
            RuntimeError: another width; from torch.
        """
        # oneDNN and our ops want packed rows; this is free where they are.
        x = x.contiguous()
        for step in self._steps:
            x = step(x)
        return x


def _flat(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer)
        elif not isinstance(layer, nn.Dropout):
            yield layer


def _dense_layers(layers: Iterable[nn.Module]) -> list[DenseLayer]:
    dense: list[DenseLayer] = []
    for layer in _flat(layers):
        if isinstance(layer, nn.ReLU) and dense:
            dense[-1] = DenseLayer(dense[-1].linear, True, dense[-1].after_relu)
        elif isinstance(layer, nn.Linear) and layer.bias is not None:
            dense.append(DenseLayer(layer, False, bool(dense) and dense[-1].relu))
        else:
            raise InvalidArgumentError(
                f"layers has {layer}, must be nn.Linear with bias, nn.ReLU behind one, "
                "or nn.Dropout",
                "layers",
            )
    if not dense:
        raise InvalidArgumentError("layers has no nn.Linear", "layers")
    for before, after in pairwise(dense):
        if before.out_features != after.linear.in_features:
            raise InvalidArgumentError(
                f"layers: {before.linear} is followed by {after.linear}", "layers"
            )
    return dense


def _precision_of(layer: DenseLayer, precision: Precision) -> Precision:
    is_small = layer.num_weights < INT8_MIN_WEIGHTS
    return "bfloat16" if precision == "int8" and is_small else precision


def _steps_of(
    dense: Sequence[DenseLayer], precisions: Sequence[Precision], output: torch.dtype
) -> Iterator[Step]:
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": None}
    place = 0
    for precision, run in groupby(precisions):
        layers = dense[place : place + len(list(run))]
        place += len(layers)
        # What comes next sets the dtype; an int8 run takes either.
        following = dtypes[precisions[place]] if place < len(dense) else output
        dtype = dtypes[precision]
        if dtype is None:
            yield Int8Layers(layers, following or torch.float32)
            continue
        for layer in layers[:-1]:
            yield PlainLayer(layer, dtype, dtype)
        if dtype == torch.float32 and layers[-1].out_features <= NARROW_OUTPUTS:
            yield NarrowLayer(layers[-1], following or dtype)
        else:
            yield PlainLayer(layers[-1], dtype, following or dtype)
