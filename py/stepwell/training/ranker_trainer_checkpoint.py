"""A training's state between epochs as one safetensors file, written whole or not."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_MODEL, _OPTIMIZER = "model/", "optimizer/"


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    epochs_done: int,
    fingerprint: str,
) -> None:
    """Writes weights and moments; the old file stays until the new is whole."""
    tensors = {_MODEL + n: t.contiguous() for n, t in model.state_dict().items()}
    for place, optimizer in enumerate(optimizers):
        for number, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                key = f"{_OPTIMIZER}{place}/{number}/{name}"
                tensors[key] = torch.as_tensor(value).clone()
    partial = path.with_suffix(".partial")
    metadata = {"epochs_done": str(epochs_done), "fingerprint": fingerprint}
    save_file(tensors, partial, metadata)
    partial.replace(path)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    fingerprint: str,
) -> int:
    """Takes up a checkpoint of the same training; returns the epochs it has done.

    A missing, damaged or foreign checkpoint is none: returns 0, nothing is changed.
    """
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return 0
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        return 0
    weights = {
        n.removeprefix(_MODEL): t for n, t in tensors.items() if n.startswith(_MODEL)
    }
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    # Written by another version of the model.
    if {name: tensor.shape for name, tensor in weights.items()} != own:
        return 0
    model.load_state_dict(weights)
    for place, optimizer in enumerate(optimizers):
        state = _state_of(tensors, f"{_OPTIMIZER}{place}/")
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(metadata["epochs_done"])


def _state_of(tensors: dict[str, Tensor], prefix: str) -> dict[int, dict[str, Tensor]]:
    """Returns the moments of one optimizer, by number of the parameter."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            number, moment = name.removeprefix(prefix).split("/")
            state.setdefault(int(number), {})[moment] = value
    return state
