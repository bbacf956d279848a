"""Sparse gradients of lookups: the dense ones, at the cost of the rows touched."""

from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.embedding_bag_sparse_gradient import entry_gradients
from stepwell.ops.embedding_bag_tables import Pooling, embedding_bag_tables
from stepwell.ops.row_wise_adagrad import row_wise_adagrad_


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    dims=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    batch=st.integers(0, 8),
    pooling=st.sampled_from(["sum", "mean", "none"]),
    weighted=st.booleans(),
    defaults=st.sampled_from(["none", "zeros", "rows"]),
    dtype=st.sampled_from([torch.int32, torch.int64]),
    seed=st.integers(0, 2**31),
)
def test_is_the_dense_gradient_of_the_rows_touched(
    dims: list[int],
    batch: int,
    pooling: Pooling,
    weighted: bool,
    defaults: str,
    dtype: torch.dtype,
    seed: int,
) -> None:
    random = torch.Generator().manual_seed(seed)
    if pooling == "none":
        dims = [dims[0]] * len(dims)
    weights = [torch.randn(9, dim, generator=random) for dim in dims]
    lengths = torch.randint(0, 5, (len(dims) * batch,), generator=random)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    indices = torch.randint(-1, 9, (int(offsets[-1]),), generator=random)
    factors = torch.randn(len(indices), generator=random) if weighted else None
    default_rows = {
        "none": None,
        "zeros": torch.full((len(dims),), -1),
        "rows": torch.arange(len(dims)),
    }[defaults]

    def grads(sparse_grad: bool) -> tuple[Tensor, ...]:
        leaves = [table.detach().requires_grad_() for table in weights]
        own = [] if factors is None else [factors.detach().requires_grad_()]
        out = embedding_bag_tables(
            leaves,
            indices.to(dtype),
            offsets.to(dtype),
            own[0] if own else None,
            pooling,
            default_rows,
            sparse_grad,
        )
        return torch.autograd.grad((out * out).sum(), [*leaves, *own])

    dense, sparse = grads(False), grads(True)
    for table in range(len(dims)):
        assert sparse[table].is_sparse
        named = set(sparse[table]._indices()[0].tolist())
        first, last = offsets[table * batch], offsets[(table + 1) * batch]
        default = -1 if default_rows is None else int(default_rows[table])
        entries = [default if i < 0 else i for i in indices[first:last].tolist()]
        assert named == set(entries) - {-1}
        torch.testing.assert_close(sparse[table].to_dense(), dense[table])
    if weighted:
        assert torch.equal(sparse[-1], dense[-1])


def test_only_tables_that_want_a_gradient_get_one() -> None:
    frozen, trained = torch.ones(4, 2), torch.ones(4, 3, requires_grad=True)
    out = embedding_bag_tables(
        [frozen, trained],
        torch.tensor([0, 1]),
        torch.tensor([0, 1, 2]),
        sparse_grad=True,
    )
    (grad,) = torch.autograd.grad(out.sum(), [trained])
    assert torch.equal(grad.to_dense().sum(1), torch.tensor([0.0, 3.0, 0.0, 0.0]))


def test_a_table_used_twice_adds_its_gradients() -> None:
    table = torch.ones(5, 2, requires_grad=True)
    lookups = (torch.tensor([1, 3]), torch.tensor([0, 1, 2]))
    out = embedding_bag_tables([table, table], *lookups, sparse_grad=True)
    (grad,) = torch.autograd.grad(out.sum(), [table])
    assert grad.to_dense()[:, 0].tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]


def test_gives_the_same_bits_with_one_thread_and_two() -> None:
    grad = torch.randn(500, 64, generator=torch.Generator().manual_seed(3))
    offsets = torch.arange(501) * 7
    before = torch.get_num_threads()
    runs = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            runs.append(entry_gradients(grad, [64], offsets, None, "mean")[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*runs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_tables_get_gradients_of_their_dtype(dtype: torch.dtype) -> None:
    table = torch.ones(4, 3, dtype=dtype, requires_grad=True)
    lookups = (torch.tensor([1, 1, 2]), torch.tensor([0, 3]))
    out = embedding_bag_tables([table], *lookups, sparse_grad=True)
    (grad,) = torch.autograd.grad(out.sum(), [table])
    assert grad.dtype == dtype
    assert grad.to_dense()[:, 0].tolist() == [0.0, 2.0, 1.0, 0.0]


def test_compiled_code_leaves_the_graph_for_it() -> None:
    def loss(table: Tensor) -> Tensor:
        lookups = (torch.tensor([1, 1, 2]), torch.tensor([0, 3]))
        return 2 * embedding_bag_tables([table], *lookups, sparse_grad=True).sum()

    table = torch.ones(4, 3, requires_grad=True)
    compiled = torch.compile(loss, backend="aot_eager")(table)
    (grad,) = torch.autograd.grad(compiled, [table])
    assert grad.to_dense()[:, 0].tolist() == [0.0, 4.0, 2.0, 0.0]


def test_a_table_too_large_for_a_dense_gradient_trains() -> None:
    # 1.3 GB of virtual memory; a gradient or a moment of the same size would be real.
    num_rows, dim, batch = 5_000_000, 64, 256
    table = torch.empty(num_rows, dim).requires_grad_()
    moments = torch.zeros(num_rows)
    random = torch.Generator().manual_seed(4)
    offsets = torch.arange(batch + 1) * 20
    before = resident_bytes()
    for _ in range(3):
        indices = torch.randint(0, num_rows, (batch * 20,), generator=random)
        with torch.no_grad():
            table[indices] = 1.0
        out = embedding_bag_tables([table], indices, offsets, sparse_grad=True)
        (grad,) = torch.autograd.grad(out.sum(), [table])
        rows, values = grad._indices()[0], grad._values()
        row_wise_adagrad_(table.detach(), moments, rows, values, 0.5, 1e-8)
        torch.testing.assert_close(table[indices[:9]], torch.full((9, dim), 0.5))
    # Three steps touch 15,360 rows, a page or two each.
    assert resident_bytes() - before < 300 << 20


GOOD = (torch.zeros(2, 5), [2, 3], torch.tensor([0, 1, 2, 3, 3]), torch.ones(3), "sum")
BAD_CALLS = {
    "no table": (1, [], "dims must name at least one table, got 0"),
    "no columns": (1, [5, 0], r"dims\[1\] must be in \[1, 2\^31\), got 0"),
    "a huge table": (1, [5, 2**62], r"dims\[1\] must be in \[1, 2\^31\)"),
    "narrow gradient": (1, [2, 4], "grad must have size 6 in dimension 1, got 5"),
    "more samples": (
        0,
        torch.zeros(3, 5),
        "grad must have size 2 in dimension 0, got 3",
    ),
    "odd bags": (2, torch.tensor([0, 1, 2, 3]), r"offsets must hold T \* B \+ 1"),
    "late start": (2, torch.tensor([1, 1, 2, 3, 3]), r"offsets\[0\] is 1"),
    "falls": (2, torch.tensor([0, 2, 1, 3, 3]), r"offsets\[2\] is 1"),
    "negative": (2, torch.tensor([0, -1, 1, 3, 3]), r"offsets\[1\] is -1"),
    "fewer factors": (
        3,
        torch.ones(2),
        "per_sample_weights must have size 3 in dimension 0, got 2",
    ),
    "max pooling": (4, "max", 'pooling must be "sum", "mean" or "none", got "max"'),
    "unlike tables": (4, "none", r"dims\[1\] is 3, must be that of table 0, 2"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_an_error_that_names_it(name: str) -> None:
    number, value, message = BAD_CALLS[name]
    arguments = [*GOOD]
    arguments[number] = value
    with pytest.raises(
        RuntimeError, match=f"^embedding_bag_tables_entry_backward: {message}"
    ):
        entry_gradients(*arguments)  # type: ignore[arg-type]


def test_a_bad_index_is_found_before_there_is_a_gradient() -> None:
    table = torch.zeros(3, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"indices\[0\] is 3, must be in \[-1, 2\]"):
        embedding_bag_tables(
            [table], torch.tensor([3]), torch.tensor([0, 1]), sparse_grad=True
        )
