"""Where the tests of this folder run the CUDA operators, and how they compare.

On a machine with a GPU they run there. Elsewhere they run on the emulator of
cc/kernels/cuda_emulator if the library of the emulated operators is loaded, for CPU
tensors; Bazel does that. Otherwise they are skipped.
"""

import os

import pytest
import torch
from torch import Tensor

HAS_GPU = torch.cuda.is_available()
IS_EMULATED = not HAS_GPU and os.environ.get("STEPWELL_CUDA_EMULATED") == "1"
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")

# For a whole file, and for what the emulator cannot do.
needs_cuda_ops = pytest.mark.skipif(
    not (HAS_GPU or IS_EMULATED),
    reason="torch sees no CUDA device, and the emulated operators are not loaded",
)
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="torch sees no CUDA device")


def moved(tensor: Tensor) -> Tensor:
    """Returns a copy on the device under test that wants a gradient as its own does."""
    copy = tensor.detach().clone().to(DEVICE)
    return copy.requires_grad_(tensor.requires_grad)


def on_device(*tensors: Tensor) -> list[Tensor]:
    """Returns such a copy of each tensor."""
    return [moved(tensor) for tensor in tensors]


def random_floats(
    *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Normal numbers on the CPU, the same for the same seed."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random).to(dtype)


def assert_close(got: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compares with a float64 oracle; `tolerance` is relative, and absolute below 1."""
    assert got.device.type == DEVICE.type
    torch.testing.assert_close(
        got.detach().cpu().double(), expected.detach(), rtol=tolerance, atol=tolerance
    )


# What the last bit of a type is worth, with room for the order of float32 sums.
TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
