"""Conformance cases of the interaction ops."""

from collections.abc import Callable

import torch
from torch import Tensor

from stepwell.ops import (  # noqa: F401  registers what is tested
    cross_network,
    dot_interaction,
    request_interaction,
)
from stepwell.ops.conformance_cases import (
    Arguments,
    OpCase,
    map_tensors,
    random_floats,
)

_DIM = 11
_NUM_SPARSE = 5
_NUM_USER = 4
_WIDTH = 13
_LAYERS = 3
_RANK = 6


def _dot_reference(dense: Tensor, sparse: Tensor) -> Tensor:
    """The dense vector, then the dots (1,0) (2,0) (2,1) ... of all vectors."""
    vectors = torch.cat([dense[:, None], sparse], 1)
    dots = vectors @ vectors.mT
    count = vectors.shape[1]
    rows, columns = torch.tril_indices(count, count, -1)
    return torch.cat([dense, dots[:, rows, columns]], 1)


def _request_reference(user: Tensor, items: Tensor) -> Tensor:
    tiled = user.expand(len(items), -1, -1)
    return _dot_reference(tiled[:, 0], torch.cat([tiled[:, 1:], items], 1))


def _cross_reference(x: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
    out = x
    for layer in range(len(down)):
        out = x * (out @ down[layer] @ up[layer] + bias[layer]) + out
    return out


def _dot(batch: int) -> Arguments:
    return random_floats(batch, _DIM), random_floats(batch, _NUM_SPARSE, _DIM)


def _dot_backward(batch: int) -> Arguments:
    width = _DIM + (_NUM_SPARSE + 1) * _NUM_SPARSE // 2
    return random_floats(batch, width, seed=1), *_dot(batch)


def _request(batch: int) -> Arguments:
    return random_floats(_NUM_USER, _DIM), random_floats(batch, 3, _DIM)


def _cross(batch: int) -> Arguments:
    down = random_floats(_LAYERS, _WIDTH, _RANK) / 4
    up = random_floats(_LAYERS, _RANK, _WIDTH) / 4
    return random_floats(batch, _WIDTH), down, up, random_floats(_LAYERS, _WIDTH)


def _cross_backward(batch: int) -> Arguments:
    return random_floats(batch, _WIDTH, seed=1), *_cross(batch)


def _bfloat16(arguments: Callable[[int], Arguments]) -> Callable[[int], Arguments]:
    return lambda batch: map_tensors(Tensor.bfloat16, arguments(batch))


def _forward(
    name: str,
    arguments: Callable[[int], Arguments],
    batch_dims: dict[str, int],
    reference: Callable[..., Tensor],
    trained: tuple[str, ...],
) -> list[OpCase]:
    """The case in float32, and in the dtype that autocast turns it to."""
    variants = [
        ("float32", arguments, 1e-5),
        ("bfloat16", _bfloat16(arguments), 2e-2),
    ]
    return [
        OpCase(
            name=name,
            arguments=given,
            batch_dims=batch_dims,
            reference=reference,
            trained=trained,
            autocast=torch.bfloat16,
            tolerance=tolerance,
            variant=dtype,
        )
        for dtype, given, tolerance in variants
    ]


_DOT_DIMS = {"dense": 0, "sparse": 0}
_WEIGHTS = ("x", "down", "up", "bias")

CASES = [
    *_forward("dot_interaction", _dot, _DOT_DIMS, _dot_reference, ("dense", "sparse")),
    *(
        OpCase(
            name="dot_interaction_backward",
            arguments=arguments,
            batch_dims={"grad": 0, **_DOT_DIMS},
            variant=variant,
        )
        for variant, arguments in (
            ("float32", _dot_backward),
            ("bfloat16", _bfloat16(_dot_backward)),
        )
    ),
    *_forward(
        "request_interaction",
        _request,
        {"items": 0},
        _request_reference,
        ("user", "items"),
    ),
    *_forward("cross_network", _cross, {"x": 0}, _cross_reference, _WEIGHTS),
    *(
        OpCase(
            name="cross_network_backward",
            arguments=arguments,
            batch_dims={"grad": 0, "x": 0},
            variant=variant,
        )
        for variant, arguments in (
            ("float32", _cross_backward),
            ("bfloat16", _bfloat16(_cross_backward)),
        )
    ),
]
