"""Packs the layers of a ranker into the storage that `rank_candidates` reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.ops.bfloat16 import to_bfloat16
from stepwell.ops.huge_pages import huge_page_array

FloatArray = npt.NDArray[np.float32]

PANEL = 64
"""Outputs of a packed matrix lie in panels of this width."""
ALIGNMENT = 64
"""Where each array of a plan's storage and each item's record starts, bytes."""
_SIGNED_ZERO = 128


@dataclass(frozen=True, slots=True)
class RankerLayer:
    """A linear layer on its way into a plan.

    Attributes:
        weight: float32 [out, in], finite.
        bias: float32 [out].
        relu: whether one stands behind it.
        is_int8: products of codes of 8 bits; of bfloat16 otherwise.
        is_signed: whether its inputs may be negative; says nothing of bfloat16.
    """

    weight: FloatArray
    bias: FloatArray
    relu: bool
    is_int8: bool
    is_signed: bool

    @property
    def padded_outputs(self) -> int:
        """Outputs, in whole panels."""
        return -(-len(self.weight) // PANEL) * PANEL


class RankerPlanWriter:
    """Lays arrays end to end in one storage, and says where each lies.

    The numbers of the plan come in the order of the calls; cc/ops/ranker reads them in
    that order.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._arrays: list[tuple[int, npt.NDArray[np.uint8]]] = []
        self._num_bytes = 0

    def number(self, *values: int) -> None:
        """Appends numbers to the plan."""
        self._numbers.extend(values)

    def array(self, values: npt.NDArray[Any]) -> None:
        """Puts an array into the storage and its offset into the plan."""
        self._numbers.append(self._num_bytes)
        stored = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self._arrays.append((self._num_bytes, stored))
        self._num_bytes += stored.size + -stored.size % ALIGNMENT

    def layer(self, layer: RankerLayer) -> None:
        """Packs a layer: see RankerLayer in cc/kernels/ranker/ranker.h."""
        num_outputs, num_inputs = layer.weight.shape
        self.number(layer.is_int8, layer.relu, layer.is_signed)
        self.number(num_inputs, num_outputs)
        padding = (0, layer.padded_outputs - num_outputs)
        bias = np.pad(layer.bias, padding)
        if layer.is_int8:
            codes, scales = _codes(layer.weight)
            zero = _SIGNED_ZERO if layer.is_signed else 0
            start = -zero * codes.sum(1, dtype=np.int32)
            self.array(_panels(codes, 4))
            self.array(bias)
            self.array(np.pad(scales, padding))
            self.array(np.pad(start, padding))
        else:
            self.array(_panels(to_bfloat16(layer.weight), 2))
            self.array(bias)
            self.number(0, 0)

    def output(self, weight: FloatArray, bias: FloatArray) -> None:
        """Puts the float32 layer behind the last one; weight [O, in], bias [O]."""
        self.array(np.pad(weight, ((0, 0), (0, -weight.shape[1] % PANEL))))
        self.array(bias)

    def finish(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Returns (weights uint8 [bytes], plan int64 [numbers])."""
        storage = huge_page_array(self._num_bytes)
        for offset, stored in self._arrays:
            storage[offset : offset + stored.size] = stored
        return storage, np.array(self._numbers, np.int64)


def _codes(weight: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """int8 [out, in] and the step of each output."""
    # A step of 0 would make 0 / 0 of an output without weights.
    steps = np.maximum(np.abs(weight).max(1) / 127, np.finfo(np.float32).tiny)
    return np.rint(weight / steps[:, None]).astype(np.int8), steps


def _panels(weight: npt.NDArray[Any], inputs_a_step: int) -> npt.NDArray[Any]:
    """[out, in] as [panels, steps, PANEL, inputs_a_step], zeros where there is none."""
    num_outputs, num_inputs = weight.shape
    padded = np.pad(
        weight, ((0, -num_outputs % PANEL), (0, -num_inputs % inputs_a_step))
    )
    panels = padded.reshape(len(padded) // PANEL, PANEL, -1, inputs_a_step)
    return panels.transpose(0, 2, 1, 3)
