"""What the conformance suite knows of each op: good arguments, definition, promises.

One case an op and variant, in conformance_registry. Test-only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Arguments of an op in the order of its schema.
Arguments = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class OpCase:
    """One op as the suite sees it.

    Attributes:
        name: of the op in torch.ops.stepwell.
        variant: what sets this case apart from others of the op.
        arguments: good arguments for a batch of this size, the same every time.
        batch_dims: the dimension of an argument that grows with the batch.
        reference: the definition, in any float dtype; None for an op that is checked
            through the gradient of another or in its own test.
        trained: arguments that get a gradient.
        autocast: dtype that autocast turns the op to; None: the op runs as it is.
        tolerance: relative and absolute, against the definition in float64.
        changes: arguments that the op changes in place.
        accepts: (argument, way to spoil it) that is no fault for this op.
    """

    name: str
    arguments: Callable[[int], Arguments]
    batch_dims: dict[str, int]
    reference: Callable[..., Tensor] | None = None
    trained: tuple[str, ...] = ()
    autocast: torch.dtype | None = None
    tolerance: float = 1e-5
    changes: tuple[str, ...] = ()
    accepts: frozenset[tuple[str, str]] = frozenset()
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.variant}" if self.variant else self.name

    @property
    def op(self) -> Any:
        """The op as torch dispatches it."""
        return getattr(torch.ops.stepwell, self.name).default

    @property
    def argument_names(self) -> list[str]:
        """Names of the arguments, from the schema."""
        return [argument.name for argument in self.op._schema.arguments]

    def number_of(self, argument: str) -> int:
        """Position of an argument."""
        return self.argument_names.index(argument)


def random_floats(*shape: int, seed: int = 0) -> Tensor:
    """Returns standard normal float32, the same for the same shape and seed."""
    random = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(*shape, generator=random)


def map_tensors(
    change: Callable[[Tensor], Tensor], arguments: Arguments
) -> tuple[Any, ...]:
    """Returns the arguments with each tensor, also in lists, changed."""

    def changed(argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return change(argument)
        if isinstance(argument, list):
            return [changed(part) for part in argument]
        return argument

    return tuple(changed(argument) for argument in arguments)
