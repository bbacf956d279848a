"""Weights of a ranker as one safetensors file: never pickled, always checked."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from stepwell.base.errors import DataLossError

FULL_RANKER_NAME = "full_ranker.safetensors"
REDUCED_RANKER_NAME = "reduced_ranker.safetensors"


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes the parameters and buffers of `model`."""
    state = model.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)


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
