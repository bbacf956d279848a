"""Wrong tensors: every op names itself, the argument, what it expected and what came.

Every tensor argument of every op is spoilt in every way, one at a time. Errors in the
numbers themselves (an index, an offset, a size) are in the tests of the ops.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from stepwell.ops.conformance_cases import Arguments, OpCase
from stepwell.ops.conformance_registry import CASES


def strided(tensor: Tensor) -> Tensor:
    """The same numbers, every other one in memory."""
    return torch.stack([tensor, tensor], -1)[..., 0]


def other_dtype(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor.float()


SPOILS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "one more dimension": (lambda tensor: tensor[None], r"must have \d dimensions"),
    "another dtype": (other_dtype, r"must (be|have the dtype)"),
    "gaps in memory": (strided, "must be contiguous"),
    "without data": (lambda tensor: tensor.to("meta"), r"must be on \w+ like"),
}


def spoilt(
    arguments: Arguments, names: list[str], change: Callable[[Tensor], Tensor]
) -> Iterator[tuple[str, Arguments]]:
    """Yields the arguments with one tensor spoilt, and the name of that tensor."""

    def replaced(number: int, value: Any) -> Arguments:
        return (*arguments[:number], value, *arguments[number + 1 :])

    for number, (name, value) in enumerate(zip(names, arguments, strict=True)):
        if isinstance(value, Tensor):
            yield name, replaced(number, change(value))
        elif isinstance(value, list):
            for part, tensor in enumerate(value):
                if isinstance(tensor, Tensor):
                    parts = [*value[:part], change(tensor), *value[part + 1 :]]
                    yield f"{name}[{part}]", replaced(number, parts)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_spoilt_tensor_is_named(case: OpCase, spoil: str) -> None:
    change, complaint = SPOILS[spoil]
    calls = list(spoilt(case.arguments(3), case.argument_names, change))
    assert calls
    if spoil == "without data" and len(calls) == 1:
        return  # nothing to differ from: the op gives a tensor without data
    for name, arguments in calls:
        if (name.split("[")[0], spoil) in case.accepts:
            case.op(*arguments)
            continue
        with pytest.raises(RuntimeError) as caught:
            case.op(*arguments)
        text = str(caught.value)
        # The first tensor of a call sets what the others are compared with.
        assert text.startswith(f"{case.name}: "), text
        if spoil != "without data":
            assert text.startswith(f"{case.name}: {name.split('[')[0]}"), text
        assert re.search(complaint, text), text
        assert "got" in text or "contiguous" in text, text


NO_MEMORY: dict[str, tuple[object, ...]] = {
    "dot_interaction": (torch.zeros(2**22, 0), torch.zeros(2**22, 2**18, 0)),
    "request_interaction": (torch.zeros(2**18, 0), torch.zeros(2**22, 0, 0)),
    "embedding_bag_tables_entry_backward": (
        torch.zeros(1, 4),
        [4],
        torch.tensor([0, 2**62]),
        None,
        "sum",
    ),
}


@pytest.mark.parametrize("name", NO_MEMORY)
def test_an_output_beyond_all_memory_is_an_error_of_the_op(name: str) -> None:
    op = getattr(torch.ops.stepwell, name)
    with pytest.raises(RuntimeError, match=rf"^{name}: no memory for .* float32 \["):
        op(*NO_MEMORY[name])
