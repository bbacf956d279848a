"""Weights of a ranker as one safetensors file: never pickled, always checked."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from stepwell.models.int8_rows import SCALE_SUFFIX, int8_rows
from stepwell.models.ranker_config import FULL_RANKER_NAME, REDUCED_RANKER_NAME
from stepwell.models.ranker_tensors import check_tensors, read_tensors
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

    Args:
        model: a ranker; its tensors are float32, but "inputs.is_log", which is bool.
    Raises:
        DataLossError: unreadable, a tensor missing, unknown, of another shape or dtype,
            or a value that is not finite.
    """
    tensors = read_tensors(path)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    check_tensors(path, tensors, expected)
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    model.load_state_dict(state)
    model.eval()
