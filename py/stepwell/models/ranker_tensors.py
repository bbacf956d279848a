"""Tensors of a ranker's file by name, in numpy: read, and held against its config."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from stepwell.base.errors import DataLossError
from stepwell.models.ranker_config import ModelConfig

Tensors = Mapping[str, npt.NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]

_IS_LOG = "inputs.is_log"
_INPUTS = (_IS_LOG, "inputs.mean", "inputs.inverse_scale")
_MODULES_A_LAYER = 3
"""Of `ranker_inputs.mlp`: linear, ReLU, dropout."""


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Returns every tensor of a safetensors file, in memory of its own.

    Raises:
        DataLossError: unreadable, or a tensor is of a type that numpy has not.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, AttributeError, TypeError) as error:
        # The last two are what comes of bfloat16 and of 8 bits.
        raise DataLossError(f"{path}: {error}") from error


def check_tensors(path: Path, tensors: Tensors, shapes: Shapes) -> None:
    """Holds a ranker's tensors against what it must have.

    Args:
        path: of their file, for the text of an error.
        shapes: by name. All tensors are float32, but "inputs.is_log", which is bool.
    Raises:
        DataLossError: a tensor missing, unknown, of another shape or dtype, or a value
            that is not finite.
    """
    if set(shapes) != set(tensors):
        differing = ", ".join(sorted(set(shapes) ^ set(tensors))[:5])
        raise DataLossError(f"{path}: missing or unknown tensors: {differing}")
    for name, shape in shapes.items():
        found = tensors[name]
        dtype = np.dtype(np.bool_ if name == _IS_LOG else np.float32)
        if found.shape != shape or found.dtype != dtype:
            raise DataLossError(
                f"{path}: {name} is {found.dtype} {found.shape}, must be "
                f"{dtype} {shape}"
            )
        if not np.isfinite(found).all():
            raise DataLossError(f"{path}: {name} holds a value that is not finite")


def column_shapes(config: ModelConfig) -> Shapes:
    """Returns the tensors of a ranker's columns: dense inputs, and its tables."""
    shapes: Shapes = {name: (len(config.dense),) for name in _INPUTS}
    for place, column in enumerate(config.sparse):
        shapes[f"tables.{place}"] = (column.num_rows, config.embedding_dim)
    return shapes


def mlp_shapes(name: str, widths: Sequence[int]) -> Shapes:
    """Returns the tensors of a `ranker_inputs.mlp` of these widths."""
    shapes: Shapes = {}
    names = mlp_layers(name, len(widths) - 1)
    for layer, (fan_in, fan_out) in zip(names, pairwise(widths), strict=True):
        shapes |= linear_shapes(layer, fan_in, fan_out)
    return shapes


def mlp_layers(name: str, num_layers: int) -> list[str]:
    """Returns the names of the linear layers of a `ranker_inputs.mlp`, in order."""
    return [f"{name}.{place * _MODULES_A_LAYER}" for place in range(num_layers)]


def linear_shapes(name: str, fan_in: int, fan_out: int) -> Shapes:
    """Returns the tensors of a linear layer."""
    return {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}
