"""Weights of a ranker as one safetensors file: never pickled, always checked."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from stepwell.base.errors import DataLossError
from stepwell.models.int8_rows import SCALE_SUFFIX, int8_rows
from stepwell.models.ranker_config import FULL_RANKER_NAME, REDUCED_RANKER_NAME
from stepwell.models.reduced_ranker import ReducedRanker

__all__ = [
    "FULL_RANKER_NAME",
    "REDUCED_RANKER_NAME",
    "load_weights",
    "save_reduced_weights",
    "save_weights",
]


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes the parameters and buffers of `model`."""
    state = model.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)


def save_reduced_weights(model: ReducedRanker, path: Path) -> None:
    """Writes a reduced ranker as it is served: its tables as int8 rows."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    for place in range(len(model.tables)):
        name = f"tables.{place}"
        codes, scales = int8_rows(state[name].numpy())
        state[name] = torch.from_numpy(codes)
        state[name + SCALE_SUFFIX] = torch.from_numpy(scales)
    save_file(state, path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Fills `model` with what `save_weights` wrote and leaves it in evaluation mode.

    Raises:
        DataLossError: unreadable, a tensor missing, unknown, of another shape or dtype,
            or a value that is not finite.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataLossError(f"{path}: {error}") from error
    expected = model.state_dict()
    if set(expected) != set(tensors):
        differing = ", ".join(sorted(set(expected) ^ set(tensors))[:5])
        raise DataLossError(f"{path}: missing or unknown tensors: {differing}")
    for name, wanted in expected.items():
        found = tensors[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise DataLossError(
                f"{path}: {name} is {found.dtype} {tuple(found.shape)}, must be "
                f"{wanted.dtype} {tuple(wanted.shape)}"
            )
        if found.is_floating_point() and not torch.isfinite(found).all():
            raise DataLossError(f"{path}: {name} holds a value that is not finite")
    model.load_state_dict(tensors)
    model.eval()
