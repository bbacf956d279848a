"""embedding_bag_tables with default rows, without pooling, and on 16-bit tables."""

import mmap
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.embedding_bag_tables import Pooling, embedding_bag_tables
from stepwell.ops.embedding_reference import embedding_bag_tables_reference

POOLINGS: list[Pooling] = ["sum", "mean", "none"]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# Rounding of the result, relative; sums themselves are float32.
RTOL = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def random_call(
    dims: list[int], batch: int, pooling: Pooling, dtype: torch.dtype, seed: int = 0
) -> dict[str, Any]:
    """Arguments with default rows, weights, and -1 among the indices."""
    random = torch.Generator().manual_seed(seed)
    num_rows = torch.randint(1, 21, (len(dims),), generator=random).tolist()
    lengths = torch.randint(0, 6, (len(dims), batch), generator=random)
    indices = [
        torch.randint(-1, rows, (int(length),), generator=random)
        for rows, length in zip(num_rows, lengths.sum(1), strict=True)
    ]
    entries = torch.cat(indices)
    starts = torch.zeros(1, dtype=torch.int64)
    return {
        "weights": [
            torch.randn(rows, dim, generator=random).to(dtype)
            for rows, dim in zip(num_rows, dims, strict=True)
        ],
        "indices": entries,
        "offsets": torch.cat([starts, lengths.flatten().cumsum(0)]),
        "per_sample_weights": torch.randn(len(entries), generator=random),
        "pooling": pooling,
        "default_rows": torch.tensor([rows // 2 - 1 for rows in num_rows]),
    }


def in_float64(call: dict[str, Any]) -> dict[str, Any]:
    """The same call of the reference, with leaves of its own."""
    wide = dict(call)
    wide["weights"] = [
        table.detach().double().requires_grad_() for table in call["weights"]
    ]
    weights = call["per_sample_weights"].detach().double()
    wide["per_sample_weights"] = weights.requires_grad_()
    return wide


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    dims=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    batch=st.integers(1, 40),
    pooling=st.sampled_from(POOLINGS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**31),
)
def test_values_and_gradients_are_those_of_the_definition(
    dims: list[int], batch: int, pooling: Pooling, dtype: torch.dtype, seed: int
) -> None:
    if pooling == "none":
        dims = [dims[0]] * len(dims)
    call = random_call(dims, batch, pooling, dtype, seed)
    wide = in_float64(call)
    leaves = [*call["weights"], call["per_sample_weights"]]
    for leaf in leaves:
        leaf.requires_grad_()
    got = embedding_bag_tables(**call)
    expected = embedding_bag_tables_reference(**wide)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=RTOL[dtype], atol=2e-5)
    grad = torch.randn(got.shape, generator=torch.Generator().manual_seed(seed))
    grad = grad.to(dtype)
    got_grads = torch.autograd.grad(got, leaves, grad)
    wide_leaves = [*wide["weights"], wide["per_sample_weights"]]
    expected_grads = torch.autograd.grad(
        expected, wide_leaves, grad.double(), materialize_grads=True
    )
    for leaf, ours, theirs in zip(leaves, got_grads, expected_grads, strict=True):
        assert ours.dtype == leaf.dtype
        torch.testing.assert_close(ours.double(), theirs, rtol=RTOL[dtype], atol=5e-5)


def test_the_gradient_of_minus_one_goes_to_the_default_row() -> None:
    table = torch.zeros(3, 2, requires_grad=True)
    indices, offsets = torch.tensor([-1, 0, -1]), torch.tensor([0, 3])
    out = embedding_bag_tables(
        [table], indices, offsets, default_rows=torch.tensor([2])
    )
    (grad,) = torch.autograd.grad(out.sum(), table)
    assert grad.tolist() == [[1, 1], [0, 0], [2, 2]]


def test_without_pooling_every_entry_has_a_row_in_the_order_of_indices() -> None:
    first, second = torch.randn(4, 3), torch.randn(2, 3)
    indices = torch.tensor([3, -1, 0, 1])
    got = embedding_bag_tables(
        [first, second], indices, torch.tensor([0, 2, 3, 4, 4]), pooling="none"
    )
    expected = torch.stack([first[3], torch.zeros(3), first[0], second[1]])
    assert torch.equal(got, expected)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_keeps_the_contracts_of_a_torch_operator(
    pooling: Pooling, dtype: torch.dtype
) -> None:
    call = random_call([8, 8], 4, pooling, dtype)
    for table in call["weights"]:
        table.requires_grad_()
    names = ("indices", "offsets", "per_sample_weights", "default_rows", "pooling")
    torch.library.opcheck(
        torch.ops.stepwell.embedding_bag_tables.default,
        (call["weights"], *(call[name] for name in names)),
        atol=1e-2,
        rtol=1e-2,
    )


def test_compiles_without_a_graph_break_and_exports() -> None:
    class Lookup(torch.nn.Module):
        def forward(
            self, weights: list[Tensor], indices: Tensor, offsets: Tensor
        ) -> Tensor:
            return embedding_bag_tables(weights, indices, offsets, pooling="none")

    call = random_call([8, 8], 4, "none", torch.bfloat16)
    arguments = (call["weights"], call["indices"], call["offsets"])
    expected = Lookup()(*arguments)
    graph = torch.compile(Lookup(), backend="eager", fullgraph=True)
    assert torch.equal(graph(*arguments), expected)
    program = torch.export.export(Lookup(), arguments)
    assert torch.equal(program.module()(*arguments), expected)


def test_reads_rows_of_a_table_of_more_elements_than_an_int32_counts() -> None:
    num_rows, dim = (1 << 31) // 16 + 100, 16
    # Virtual memory: only the pages of the rows written are ever there.
    memory = mmap.mmap(
        -1,
        num_rows * dim * 2,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0),
    )
    table = torch.frombuffer(memory, dtype=torch.float16).view(num_rows, dim)
    assert table.numel() > 2**31
    table[-1] = torch.arange(16)
    table[-100] = 1.0
    indices = torch.tensor([num_rows - 1, -1])
    got = embedding_bag_tables(
        [table],
        indices,
        torch.tensor([0, 2]),
        default_rows=torch.tensor([num_rows - 100]),
    )
    assert torch.equal(got[0].float(), torch.arange(16) + 1.0)


BAD_CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "float64 tables": (
        {"weights": [torch.zeros(2, 3).double()] * 2},
        "weights must be float32, float16 or bfloat16, got float64",
    ),
    "int32 default rows": (
        {"default_rows": torch.zeros(2, dtype=torch.int32)},
        "default_rows must be int64, got int32",
    ),
    "one default row for two tables": (
        {"default_rows": torch.zeros(1, dtype=torch.int64)},
        "default_rows must have size 2 in dimension 0, got 1",
    ),
    "default rows in a column": (
        {"default_rows": torch.zeros(2, 1, dtype=torch.int64)},
        "default_rows must have 1 dimensions, got 2",
    ),
    "default row past the table": (
        {"default_rows": torch.tensor([0, 2])},
        r"default_rows\[1\] is 2, must be in \[-1, 1\]",
    ),
    "default row below -1": (
        {"default_rows": torch.tensor([-2, 0])},
        r"default_rows\[0\] is -2, must be in \[-1, 1\]",
    ),
    "different widths without pooling": (
        {"weights": [torch.zeros(2, 3), torch.zeros(2, 4)], "pooling": "none"},
        "table 1 has 4 columns, must have those of table 0, 3, for pooling none",
    ),
    "float16 weights of entries": (
        {"per_sample_weights": torch.ones(2).half()},
        "per_sample_weights must be float32, got float16",
    ),
    "an index below -1 without pooling": (
        {"indices": torch.tensor([0, -2]), "pooling": "none"},
        r"indices\[1\] is -2, must be in \[-1, 1\] for table 1",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_an_error_that_names_it(name: str) -> None:
    changes, message = BAD_CALLS[name]
    arguments: dict[str, Any] = {
        "weights": [torch.zeros(2, 3)] * 2,
        "indices": torch.tensor([0, 1]),
        "offsets": torch.tensor([0, 1, 2]),
    }
    with pytest.raises(RuntimeError, match=f"embedding_bag_tables: {message}"):
        embedding_bag_tables(**(arguments | changes))
