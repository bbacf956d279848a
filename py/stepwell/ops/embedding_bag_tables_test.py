"""embedding_bag_tables against its definition: values, gradients, errors, contracts."""

from collections.abc import Callable
from dataclasses import dataclass

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.embedding_bag_tables import Pooling, embedding_bag_tables
from stepwell.ops.embedding_reference import embedding_bag_tables_reference

POOLINGS: list[Pooling] = ["sum", "mean"]


@dataclass
class Lookups:
    weights: list[Tensor]
    indices: Tensor
    offsets: Tensor
    entry_weights: Tensor


def random_lookups(
    dims: list[int], batch: int, max_length: int, seed: int = 0
) -> Lookups:
    """Tables of 1 to 20 rows and bags of 0 to max_length entries, -1 among them."""
    random = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, count: int) -> Tensor:
        return torch.randint(low, high, (count,), generator=random)

    weights, indices, lengths = [], [], []
    for dim in dims:
        num_rows = int(integers(1, 21, 1))
        weights.append(torch.randn(num_rows, dim, generator=random))
        lengths.append(integers(0, max_length + 1, batch))
        indices.append(integers(-1, num_rows, int(lengths[-1].sum())))
    starts = torch.zeros(1, dtype=torch.int64)
    offsets = torch.cat([starts, torch.cat(lengths).cumsum(0)])
    entries = torch.cat(indices)
    entry_weights = torch.randn(len(entries), generator=random)
    return Lookups(weights, entries, offsets, entry_weights)


def doubled(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    dims=st.lists(st.integers(1, 70), min_size=1, max_size=5),
    batch=st.integers(0, 9),
    max_length=st.integers(0, 7),
    pooling=st.sampled_from(POOLINGS),
    weighted=st.booleans(),
    dtype=st.sampled_from([torch.int32, torch.int64]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_definition_in_float64(
    dims: list[int],
    batch: int,
    max_length: int,
    pooling: Pooling,
    weighted: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    lookups = random_lookups(dims, batch, max_length, seed)
    entry_weights = lookups.entry_weights if weighted else None
    got = embedding_bag_tables(
        lookups.weights,
        lookups.indices.to(dtype),
        lookups.offsets.to(dtype),
        entry_weights,
        pooling,
    )
    expected = embedding_bag_tables_reference(
        [table.double() for table in lookups.weights],
        lookups.indices,
        lookups.offsets,
        None if entry_weights is None else entry_weights.double(),
        pooling,
    )
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_those_of_the_definition(
    pooling: Pooling, weighted: bool
) -> None:
    lookups = random_lookups([1, 16, 33, 150], 13, 5)
    leaves = [table.requires_grad_() for table in lookups.weights]
    if weighted:
        leaves = [*leaves, lookups.entry_weights.requires_grad_()]
    wide = doubled(leaves)
    got = embedding_bag_tables(
        leaves[:4],
        lookups.indices,
        lookups.offsets,
        leaves[4] if weighted else None,
        pooling,
    )
    expected = embedding_bag_tables_reference(
        wide[:4],
        lookups.indices,
        lookups.offsets,
        wide[4] if weighted else None,
        pooling,
    )
    grad = torch.randn_like(got)
    got_grads = torch.autograd.grad(got, leaves, grad)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


def test_takes_a_gradient_that_is_not_contiguous() -> None:
    lookups = random_lookups([4, 3], 5, 3)
    leaves = [table.requires_grad_() for table in lookups.weights]
    out = embedding_bag_tables(leaves, lookups.indices, lookups.offsets)
    # The gradient of a sum is one expanded number.
    grads = torch.autograd.grad(out.sum(), leaves)
    named = lookups.indices[: int(lookups.offsets[5])]
    assert grads[0].sum() == 4 * (named >= 0).sum()


def test_matches_embedding_bag_of_torch() -> None:
    table = torch.randn(1000, 64)
    indices = torch.randint(0, 1000, (640,))
    starts = torch.arange(0, 641, 10)
    got = embedding_bag_tables([table], indices, starts, None, "mean")
    expected = torch.nn.functional.embedding_bag(
        indices, table, starts[:-1], mode="mean"
    )
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_keeps_the_contracts_of_a_torch_operator(weighted: bool) -> None:
    lookups = random_lookups([8, 3], 4, 3)
    weights = [table.requires_grad_() for table in lookups.weights]
    entry_weights = lookups.entry_weights.requires_grad_() if weighted else None
    torch.library.opcheck(
        torch.ops.stepwell.embedding_bag_tables.default,
        (weights, lookups.indices, lookups.offsets, entry_weights, None, "sum"),
    )


def test_backward_operators_keep_the_contracts_too() -> None:
    lookups = random_lookups([8, 3], 4, 3)
    grad = torch.randn(4, 11)
    jagged = (lookups.weights, lookups.indices, lookups.offsets)
    torch.library.opcheck(
        torch.ops.stepwell.embedding_bag_tables_backward.default,
        (grad, *jagged, lookups.entry_weights, None, "mean"),
    )
    torch.library.opcheck(
        torch.ops.stepwell.embedding_bag_tables_weights_backward.default,
        (grad, *jagged, None, "mean"),
    )


def test_gives_the_same_bits_with_one_thread_and_two() -> None:
    lookups = random_lookups([64] * 8, 400, 9)
    before = torch.get_num_threads()
    outputs = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            outputs.append(
                embedding_bag_tables(lookups.weights, lookups.indices, lookups.offsets)
            )
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*outputs)


def changed(**changes: object) -> Callable[[], Tensor]:
    """A call that is good but for the arguments named."""
    arguments: dict[str, object] = {
        "weights": [torch.zeros(3, 4), torch.zeros(2, 5)],
        "indices": torch.tensor([0, 2, 1]),
        "offsets": torch.tensor([0, 1, 2, 3, 3]),
        "per_sample_weights": None,
        "pooling": "sum",
    }
    arguments.update(changes)
    return lambda: embedding_bag_tables(**arguments)  # type: ignore[arg-type]


BAD_CALLS = {
    "no table": (changed(weights=[]), "weights must hold at least one table"),
    "half tables": (
        changed(weights=[torch.zeros(3, 4), torch.zeros(2, 5).half()]),
        r"weights\[1\] must have the dtype of weights\[0\], float32, got float16",
    ),
    "flat table": (
        changed(weights=[torch.zeros(3), torch.zeros(2, 5)]),
        r"weights\[0\] must have 2 dimensions, got 1",
    ),
    "no columns": (
        changed(weights=[torch.zeros(3, 0), torch.zeros(2, 5)]),
        r"weights\[0\] must have at least 1 column",
    ),
    "transposed": (
        changed(weights=[torch.zeros(4, 3).T, torch.zeros(2, 5)]),
        r"weights\[0\] must be contiguous",
    ),
    "float indices": (
        changed(indices=torch.zeros(3)),
        "indices must be int32 or int64, got float32",
    ),
    "mixed widths": (
        changed(offsets=torch.tensor([0, 1, 2, 3, 3], dtype=torch.int32)),
        "offsets must have the dtype of indices, int64, got int32",
    ),
    "strided indices": (
        changed(indices=torch.zeros(6, dtype=torch.int64)[::2]),
        "indices must be contiguous",
    ),
    "odd bags": (
        changed(offsets=torch.tensor([0, 1, 2, 3])),
        r"offsets must hold T \* B \+ 1 numbers for T = 2 tables, got 4",
    ),
    "no offsets": (
        changed(offsets=torch.tensor([], dtype=torch.int64)),
        r"offsets must hold T \* B \+ 1 numbers",
    ),
    "short weights": (
        changed(per_sample_weights=torch.ones(2)),
        "per_sample_weights must have size 3 in dimension 0, got 2",
    ),
    "max pooling": (
        changed(pooling="max"),
        'pooling must be "sum", "mean" or "none", got "max"',
    ),
    "past the table": (
        changed(indices=torch.tensor([0, 2, 2])),
        r"indices\[2\] is 2, must be in \[-1, 1\] for table 1",
    ),
    "below minus one": (
        changed(indices=torch.tensor([0, -2, 1])),
        r"indices\[1\] is -2, must be in \[-1, 2\] for table 0",
    ),
    "offsets fall": (
        changed(offsets=torch.tensor([0, 2, 1, 3, 3])),
        r"offsets\[2\] is 1 \(table 0\)",
    ),
    "offsets start late": (
        changed(offsets=torch.tensor([1, 1, 2, 3, 3])),
        r"offsets\[0\] is 1",
    ),
    "offsets past the end": (
        changed(offsets=torch.tensor([0, 1, 9, 3, 3])),
        r"offsets\[2\] is 9 .* in \[0, 3\]",
    ),
    "entries left over": (
        changed(offsets=torch.tensor([0, 1, 2, 2, 2])),
        r"offsets\[-1\] is 2, must be the number of indices, 3",
    ),
    "entries of no bag": (
        changed(weights=[torch.zeros(3, 4)], offsets=torch.tensor([3]), pooling="none"),
        "indices must be empty where offsets holds one number, B = 0, got 3",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_an_error_that_names_it(name: str) -> None:
    call, message = BAD_CALLS[name]
    with pytest.raises(RuntimeError, match=f"embedding_bag_tables: {message}"):
        call()


def test_reports_the_first_bad_index_however_the_work_is_split() -> None:
    indices = torch.zeros(20_000, dtype=torch.int64)
    indices[[300, 19_000]] = 7
    offsets = torch.arange(0, 20_001, 10)
    with pytest.raises(RuntimeError, match=r"indices\[300\] is 7"):
        embedding_bag_tables([torch.zeros(2, 64)], indices, offsets)


def test_a_table_without_rows_serves_empty_bags_and_default_rows() -> None:
    out = embedding_bag_tables(
        [torch.zeros(0, 3)], torch.tensor([-1]), torch.tensor([0, 1, 1])
    )
    assert torch.equal(out, torch.zeros(2, 3))


def test_compiles_without_a_graph_break() -> None:
    lookups = random_lookups([8, 3], 4, 3)
    graph = torch.compile(embedding_bag_tables, backend="eager", fullgraph=True)
    arguments = (lookups.weights, lookups.indices, lookups.offsets)
    assert torch.equal(graph(*arguments), embedding_bag_tables(*arguments))


def test_factors_that_autocast_has_made_are_taken() -> None:
    lookups = random_lookups([8, 3], 4, 3)
    arguments = (lookups.weights, lookups.indices, lookups.offsets)
    narrow = lookups.entry_weights.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        got = embedding_bag_tables(*arguments, narrow)
    assert torch.equal(got, embedding_bag_tables(*arguments, narrow.float()))
