"""Packs the layers of a ranker into the storage that `rank_candidates` reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stepwell.ops.huge_pages import huge_page_bytes
from stepwell.ops.rank_candidates import ALIGNMENT, PANEL

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

    weight: Tensor
    bias: Tensor
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
        self._arrays: list[tuple[int, Tensor]] = []
        self._num_bytes = 0

    def number(self, *values: int) -> None:
        """Appends numbers to the plan."""
        self._numbers.extend(values)

    def array(self, values: Tensor) -> None:
        """Puts an array into the storage and its offset into the plan."""
        self._numbers.append(self._num_bytes)
        stored = values.contiguous().reshape(-1).view(torch.uint8)
        self._arrays.append((self._num_bytes, stored))
        size = stored.numel()
        self._num_bytes += size + -size % ALIGNMENT

    def layer(self, layer: RankerLayer) -> None:
        """Packs a layer: see RankerLayer in cc/kernels/ranker/ranker.h."""
        num_outputs, num_inputs = layer.weight.shape
        self.number(layer.is_int8, layer.relu, layer.is_signed)
        self.number(num_inputs, num_outputs)
        padding = layer.padded_outputs - num_outputs
        bias = torch.nn.functional.pad(layer.bias, (0, padding))
        if layer.is_int8:
            codes, scales = _codes(layer.weight)
            zero = _SIGNED_ZERO if layer.is_signed else 0
            start = -zero * codes.sum(1, dtype=torch.int32)
            self.array(_panels(codes, 4))
            self.array(bias)
            self.array(torch.nn.functional.pad(scales, (0, padding)))
            self.array(torch.nn.functional.pad(start, (0, padding)))
        else:
            self.array(_panels(layer.weight.bfloat16(), 2))
            self.array(bias)
            self.number(0, 0)

    def output(self, weight: Tensor, bias: Tensor) -> None:
        """Puts the float32 layer behind the last one; weight [O, in], bias [O]."""
        self.array(torch.nn.functional.pad(weight, (0, -weight.shape[1] % PANEL)))
        self.array(bias)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Returns (weights uint8 [bytes], plan int64 [numbers])."""
        storage = huge_page_bytes(self._num_bytes)
        for offset, stored in self._arrays:
            storage[offset : offset + stored.numel()] = stored
        return storage, torch.tensor(self._numbers, dtype=torch.int64)


def _codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [out, in] and the step of each output."""
    # A step of 0 would make 0 / 0 of an output without weights.
    steps = (weight.abs().amax(1) / 127).clamp(min=torch.finfo().tiny)
    return torch.round(weight / steps[:, None]).to(torch.int8), steps


def _panels(weight: Tensor, inputs_a_step: int) -> Tensor:
    """[out, in] as [panels, steps, PANEL, inputs_a_step], zeros where there is none."""
    num_outputs, num_inputs = weight.shape
    padded = torch.nn.functional.pad(
        weight, (0, -num_inputs % inputs_a_step, 0, -num_outputs % PANEL)
    )
    panels = padded.view(padded.shape[0] // PANEL, PANEL, -1, inputs_a_step)
    return panels.permute(0, 2, 1, 3).contiguous()


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Returns whether every value of every tensor is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
