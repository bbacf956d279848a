"""row_wise_adagrad_ against its definition: values, errors, contracts."""

from collections.abc import Callable

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.row_wise_adagrad import row_wise_adagrad_


def reference(
    table: Tensor, moments: Tensor, row_ids: Tensor, grads: Tensor, lr: float
) -> tuple[Tensor, Tensor]:
    """The step in float64, on dense gradients."""
    wide = torch.zeros_like(table, dtype=torch.float64)
    wide.index_add_(0, row_ids.long(), grads.double())
    moments = moments.double() + wide.square().mean(1)
    steps = lr / (moments.sqrt() + 1e-6)
    return table.double() - steps[:, None] * wide, moments


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    num_rows=st.integers(1, 300),
    dim=st.integers(1, 70),
    num_entries=st.integers(0, 200),
    dtype=st.sampled_from([torch.int32, torch.int64]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_definition_in_float64(
    num_rows: int, dim: int, num_entries: int, dtype: torch.dtype, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    table = torch.randn(num_rows, dim, generator=random)
    moments = torch.rand(num_rows, generator=random)
    row_ids = torch.randint(0, num_rows, (num_entries,), generator=random).to(dtype)
    grads = torch.randn(num_entries, dim, generator=random)
    expected = reference(table, moments, row_ids, grads, 0.1)
    row_wise_adagrad_(table, moments, row_ids, grads, 0.1, 1e-6)
    for got, wanted in zip((table, moments), expected, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)


def test_gives_the_same_bits_with_one_thread_and_two() -> None:
    random = torch.Generator().manual_seed(2)
    row_ids = torch.randint(0, 50, (4_000,), generator=random)
    grads = torch.randn(4_000, 64, generator=random)
    before = torch.get_num_threads()
    tables = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            table = torch.zeros(50, 64)
            row_wise_adagrad_(table, torch.zeros(50), row_ids, grads, 0.1, 1e-8)
            tables.append(table)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*tables)


def test_autograd_sees_that_the_table_has_changed() -> None:
    table = torch.ones(3, 2)
    weight = torch.ones(3, 2, requires_grad=True)
    product = (table * weight).sum()
    row_ids, grads = torch.tensor([0]), torch.ones(1, 2)
    row_wise_adagrad_(table, torch.zeros(3), row_ids, grads, 0.1, 1e-8)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(product)


def test_reaches_a_row_past_two_to_the_31_elements() -> None:
    # 2^31 + 64 floats of virtual memory, of which a few pages are ever touched.
    num_rows = 2**25 + 1
    table, moments = torch.empty(num_rows, 64), torch.empty(num_rows)
    table[-1], moments[-1] = 0.0, 0.0
    row_ids, grads = torch.tensor([num_rows - 1]), torch.ones(1, 64)
    row_wise_adagrad_(table, moments, row_ids, grads, 0.5, 1e-8)
    torch.testing.assert_close(table[-1], torch.full((64,), -0.5))


def changed(**changes: object) -> Callable[[], None]:
    """A call that is good but for the arguments named."""
    arguments: dict[str, object] = {
        "table": torch.zeros(4, 3),
        "moments": torch.zeros(4),
        "row_ids": torch.tensor([0, 3]),
        "grads": torch.zeros(2, 3),
        "lr": 0.1,
        "eps": 1e-8,
    }
    arguments.update(changes)
    return lambda: row_wise_adagrad_(**arguments)  # type: ignore[arg-type]


BAD_CALLS = {
    "half table": (
        changed(table=torch.zeros(4, 3).half()),
        "table must be float32, got float16",
    ),
    "flat table": (
        changed(table=torch.zeros(4)),
        "table must have 2 dimensions, got 1",
    ),
    "no columns": (
        changed(table=torch.zeros(4, 0), grads=torch.zeros(2, 0)),
        "table must have at least 1 column, got 0",
    ),
    "transposed": (
        changed(table=torch.zeros(3, 4).T),
        "table must be contiguous",
    ),
    "short moments": (
        changed(moments=torch.zeros(3)),
        "moments must have size 4 in dimension 0, got 3",
    ),
    "float rows": (
        changed(row_ids=torch.zeros(2)),
        "row_ids must be int32 or int64, got float32",
    ),
    "past the table": (
        changed(row_ids=torch.tensor([0, 4])),
        r"row_ids\[1\] is 4, must be in \[0, 3\]",
    ),
    "missing row": (
        changed(row_ids=torch.tensor([-1, 0])),
        r"row_ids\[0\] is -1, must be in \[0, 3\]",
    ),
    "fewer gradients": (
        changed(grads=torch.zeros(1, 3)),
        "grads must have size 2 in dimension 0, got 1",
    ),
    "narrow gradients": (
        changed(grads=torch.zeros(2, 2)),
        "grads must have size 3 in dimension 1, got 2",
    ),
    "negative rate": (changed(lr=-0.1), "lr must be finite and >= 0, got -0.1"),
    "no rate": (changed(lr=float("nan")), "lr must be finite and >= 0, got nan"),
    "no eps": (changed(eps=0.0), "eps must be finite and >= 1e-30, got 0"),
    "an eps that float32 rounds to zero": (
        changed(eps=1e-46),
        "eps must be finite and >= 1e-30, got 1e-46",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_an_error_that_names_it(name: str) -> None:
    call, message = BAD_CALLS[name]
    with pytest.raises(RuntimeError, match=f"^row_wise_adagrad_: {message}"):
        call()


def test_nothing_has_changed_after_a_bad_row() -> None:
    table, moments = torch.zeros(4, 3), torch.zeros(4)
    with pytest.raises(RuntimeError, match="row_ids"):
        row_wise_adagrad_(
            table, moments, torch.tensor([0, 9]), torch.ones(2, 3), 0.1, 1e-8
        )
    assert not table.any()
    assert not moments.any()
