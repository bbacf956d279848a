"""What every op promises: values, gradients, shapes, graphs, autocast, determinism."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stepwell.ops.conformance_cases import Arguments, OpCase, map_tensors
from stepwell.ops.conformance_registry import CASES

BATCHES = [0, 1, 7]

every_op = pytest.mark.parametrize("case", CASES, ids=str)
every_trained_op = pytest.mark.parametrize(
    "case", [case for case in CASES if case.trained], ids=str
)
every_defined_op = pytest.mark.parametrize(
    "case", [case for case in CASES if case.reference], ids=str
)


@pytest.fixture(autouse=True)
def forget_compiled_graphs() -> Iterator[None]:
    yield
    torch.compiler.reset()


@pytest.fixture
def num_threads() -> Iterator[int]:
    """The number of torch's threads, put back after the test."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def outputs_of(case: OpCase, arguments: Arguments) -> list[Tensor]:
    """What the op returns, then what it has changed in place."""
    copies = map_tensors(torch.clone, arguments)
    returned = case.op(*copies)
    changed = [copies[case.number_of(name)] for name in case.changes]
    return [*flat(returned), *changed]


def flat(value: Any) -> list[Tensor]:
    if value is None:
        return []
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value for tensor in flat(part)]


def leaves_of(case: OpCase, arguments: Arguments) -> list[Tensor]:
    """The trained arguments, which from now on ask for gradients."""
    leaves = flat([arguments[case.number_of(name)] for name in case.trained])
    return [leaf.requires_grad_() for leaf in leaves]


def same_bits(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def doubled(tensor: Tensor) -> Tensor:
    return tensor.detach().double() if tensor.is_floating_point() else tensor


class Graph(torch.nn.Module):
    """An op as a module, whose other arguments than tensors are constants."""

    def __init__(self, case: OpCase) -> None:
        super().__init__()
        self.case = case

    def forward(self, *arguments: Any) -> Any:
        return self.case.op(*arguments)


def test_every_op_of_the_library_is_here() -> None:
    registered = {
        name.removeprefix("stepwell::")
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("stepwell::")
    }
    assert {case.name for case in CASES} == registered


@every_op
def test_keeps_the_contracts_of_a_torch_operator(case: OpCase) -> None:
    arguments = case.arguments(3)
    leaves_of(case, arguments)
    torch.library.opcheck(case.op, arguments)


@every_defined_op
@pytest.mark.parametrize("batch", BATCHES)
def test_equals_its_definition_in_float64(case: OpCase, batch: int) -> None:
    assert case.reference is not None
    arguments = case.arguments(batch)
    expected = flat(case.reference(*map_tensors(doubled, arguments)))
    for ours, theirs in zip(outputs_of(case, arguments), expected, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(
            doubled(ours), doubled(theirs), rtol=case.tolerance, atol=case.tolerance
        )


@every_trained_op
@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_are_those_of_the_definition(case: OpCase, batch: int) -> None:
    assert case.reference is not None
    arguments = case.arguments(batch)
    wide = map_tensors(doubled, arguments)
    ours, theirs = [
        run(*arguments_with_grad(case, given))
        for run, given in ((case.op, arguments), (case.reference, wide))
    ]
    grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
    got = torch.autograd.grad(ours, leaves_of(case, arguments), grad)
    if batch == 0:
        assert not any(map(torch.any, got)), "no sample, no gradient"
        return
    # A table that no entry names has a gradient of zeros.
    expected = torch.autograd.grad(
        theirs, leaves_of(case, wide), grad.double(), materialize_grads=True
    )
    tolerance = 10 * case.tolerance
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance)


def arguments_with_grad(case: OpCase, arguments: Arguments) -> Arguments:
    leaves_of(case, arguments)
    return arguments


@every_op
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_whole_to_the_same_bits(case: OpCase, backend: str) -> None:
    arguments = case.arguments(5)
    graph = torch.compile(Graph(case), backend=backend, fullgraph=True)
    copies = map_tensors(torch.clone, arguments)
    got = [*flat(graph(*copies))]
    got += [copies[case.number_of(name)] for name in case.changes]
    assert same_bits(got, outputs_of(case, arguments))


@every_trained_op
def test_compiled_gradients_have_the_same_bits(case: OpCase) -> None:
    grads = []
    for run in (
        case.op,
        torch.compile(Graph(case), backend="aot_eager", fullgraph=True),
    ):
        arguments = arguments_with_grad(case, case.arguments(5))
        out = run(*arguments)
        loss = (out * out).sum()
        grads.append(list(torch.autograd.grad(loss, leaves_of(case, arguments))))
    assert same_bits(*grads)


@every_op
def test_one_graph_serves_batches_of_any_size(case: OpCase) -> None:
    graphs = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(Graph(case), backend=graphs, fullgraph=True)
    for batch in (3, 8, 21):
        arguments = case.arguments(batch)
        for name, dimension in case.batch_dims.items():
            torch._dynamo.mark_dynamic(arguments[case.number_of(name)], dimension)
        expected = outputs_of(case, arguments)
        got = [*flat(compiled(*arguments))]
        got += [arguments[case.number_of(name)] for name in case.changes]
        assert same_bits(got, expected)
    assert graphs.frame_count == 1


def dynamic_shapes(case: OpCase, arguments: Arguments) -> tuple[Any, ...]:
    """What torch.export wants: the shape of the arguments, dimensions named by use."""

    def shape(name: str, argument: Any) -> Any:
        if isinstance(argument, list):
            return [None] * len(argument)
        dimension = case.batch_dims.get(name)
        return None if dimension is None else {dimension: torch.export.Dim.AUTO}

    return tuple(map(shape, case.argument_names, arguments))


@every_op
def test_exports_for_batches_of_any_size(case: OpCase) -> None:
    sample = case.arguments(6)
    program = torch.export.export(
        Graph(case), sample, dynamic_shapes={"arguments": dynamic_shapes(case, sample)}
    )
    called = [node.target for node in program.graph.nodes]
    assert case.op in called
    arguments = case.arguments(9)
    copies = map_tensors(torch.clone, arguments)
    got = [*flat(program.module()(*copies))]
    got += [copies[case.number_of(name)] for name in case.changes]
    assert same_bits(got, outputs_of(case, arguments))


@every_op
def test_gives_the_same_bits_again_and_with_other_threads(
    case: OpCase, num_threads: int
) -> None:
    # Large enough to be split among threads.
    arguments = case.arguments(600)
    runs = []
    for threads in (1, 2, 2, 1):
        torch.set_num_threads(threads)
        runs.append(outputs_of(case, arguments))
    for run in runs[1:]:
        assert same_bits(runs[0], run)


class Recorded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Names of the ops that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@every_op
def test_autocast_casts_what_the_op_says_and_nothing_else(case: OpCase) -> None:
    arguments = case.arguments(4)
    plain = outputs_of(case, arguments)
    copies = map_tensors(torch.clone, arguments)
    with torch.autocast("cpu", torch.bfloat16), Recorded() as recorded:
        returned = case.op(*copies)
    got = [*flat(returned), *(copies[case.number_of(name)] for name in case.changes)]
    if case.autocast is None:
        assert same_bits(got, plain)
        assert recorded.names == [case.op.name()], "no argument is copied"
        return
    for ours, theirs in zip(got, plain, strict=True):
        assert ours.dtype == case.autocast
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.1, atol=0.1)


@every_trained_op
def test_gradients_under_autocast_have_the_dtype_of_their_leaves(case: OpCase) -> None:
    arguments = arguments_with_grad(case, case.arguments(4))
    with torch.autocast("cpu", torch.bfloat16):
        out = case.op(*arguments)
    leaves = leaves_of(case, arguments)
    for leaf, grad in zip(
        leaves, torch.autograd.grad(out.float().sum(), leaves), strict=True
    ):
        assert grad.dtype == leaf.dtype
        assert grad.shape == leaf.shape
        assert grad.isfinite().all()
