"""RowWiseAdagrad against its definition, torch's Adagrad and a problem to solve."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.training.row_wise_adagrad import RowWiseAdagrad


def sparse_grad(rows: list[int], values: Tensor, num_rows: int) -> Tensor:
    shape = (num_rows, *values.shape[1:])
    return torch.sparse_coo_tensor(
        torch.tensor([rows]), values, shape, check_invariants=True
    )


def reference_step(
    table: Tensor, moments: Tensor, grad: Tensor, lr: float, eps: float
) -> None:
    """The definition in the dtype of its arguments, row by row."""
    for row in range(len(table)):
        g = grad[row]
        moments[row] += (g * g).mean()
        table[row] -= lr / (moments[row].sqrt() + eps) * g


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("dim", [1, 3, 16, 33])
def test_steps_as_the_definition_says_in_float64(is_sparse: bool, dim: int) -> None:
    random = torch.Generator().manual_seed(dim)
    table = nn.Parameter(torch.randn(9, dim, generator=random))
    wide, moments = table.detach().double(), torch.zeros(9, dtype=torch.float64)
    optimizer = RowWiseAdagrad([table], lr=0.3, eps=1e-6)
    for _ in range(5):
        rows = torch.randint(0, 9, (14,), generator=random)
        values = torch.randn(14, dim, generator=random)
        grad = sparse_grad(rows.tolist(), values, 9)
        table.grad = grad if is_sparse else grad.to_dense()
        optimizer.step()
        reference_step(wide, moments, grad.double().to_dense(), 0.3, 1e-6)
    torch.testing.assert_close(table.detach().double(), wide, rtol=1e-5, atol=1e-5)
    state = optimizer.state[table]["moments"]
    torch.testing.assert_close(state.double(), moments, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_is_adagrad_where_a_row_is_one_number(is_sparse: bool) -> None:
    ours = nn.Parameter(torch.linspace(-1, 1, 7)[:, None].clone())
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = [
        RowWiseAdagrad([ours], lr=0.1, eps=1e-7),
        torch.optim.Adagrad([theirs], lr=0.1, eps=1e-7),
    ]
    for step in range(6):
        values = torch.tensor([[0.5], [-2.0], [float(step)]])
        grad = sparse_grad([3, 1, 3], values, 7)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = grad if is_sparse else grad.to_dense()
            # torch's own step warns where nobody says whether to check.
            with torch.sparse.check_sparse_tensor_invariants():  # type: ignore[no-untyped-call]
                optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_rows_without_gradient_are_left_alone_to_the_bit() -> None:
    table = nn.Parameter(torch.randn(6, 5))
    before = table.detach().clone()
    optimizer = RowWiseAdagrad([table], weight_decay=0.5)
    table.grad = sparse_grad([4, 2, 4], torch.ones(3, 5), 6)
    optimizer.step()
    untouched = [0, 1, 3, 5]
    assert torch.equal(table[untouched], before[untouched])
    assert not torch.equal(table[2], before[2])
    assert optimizer.state[table]["moments"][untouched].eq(0).all()


def test_weight_decay_counts_a_row_once_however_often_it_is_named() -> None:
    start = torch.full((2, 3), 4.0)
    values = torch.tensor([[1.0] * 3, [2.0] * 3])
    tables = [nn.Parameter(start.clone()) for _ in range(2)]
    tables[0].grad = sparse_grad([1, 1], values, 2)
    tables[1].grad = torch.tensor([[0.0] * 3, [3.0] * 3])
    for table in tables:
        RowWiseAdagrad([table], weight_decay=0.25).step()
    torch.testing.assert_close(tables[0][1], tables[1][1])
    assert torch.equal(tables[0][0], start[0]), "a row not named does not decay"


def test_converges_on_least_squares_where_rows_are_seen_at_unlike_rates() -> None:
    random = torch.Generator().manual_seed(1)
    target = torch.randn(40, 8, generator=random)
    table = nn.Parameter(torch.zeros(40, 8))
    optimizer = RowWiseAdagrad([table], lr=0.5)
    # Row r is drawn about in proportion to 1 / (r + 1), as items are.
    chances = 1.0 / torch.arange(1, 41)
    for _ in range(1_500):
        rows = torch.multinomial(chances, 8, replacement=True, generator=random)
        error = table.detach()[rows] - target[rows]
        table.grad = sparse_grad(rows.tolist(), error, 40)
        optimizer.step()
    assert (table - target).abs().max() < 1e-2


def test_state_travels_through_safetensors_and_training_goes_on(tmp_path: Path) -> None:
    def steps(table: nn.Parameter, optimizer: RowWiseAdagrad, seeds: range) -> None:
        for seed in seeds:
            random = torch.Generator().manual_seed(seed)
            values = torch.randn(4, 3, generator=random)
            table.grad = sparse_grad([0, 2, 2, 1], values, 5)
            optimizer.step()

    unbroken = nn.Parameter(torch.ones(5, 3))
    steps(unbroken, RowWiseAdagrad([unbroken]), range(6))

    first = nn.Parameter(torch.ones(5, 3))
    optimizer = RowWiseAdagrad([first])
    steps(first, optimizer, range(3))
    saved = {"table": first.detach(), **optimizer.state_dict()["state"][0]}
    save_file(saved, tmp_path / "state.safetensors")

    read = load_file(tmp_path / "state.safetensors")
    second = nn.Parameter(read.pop("table"))
    resumed = RowWiseAdagrad([second])
    resumed.load_state_dict({**resumed.state_dict(), "state": {0: read}})
    steps(second, resumed, range(3, 6))
    assert torch.equal(second, unbroken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, r"lr is -1\.0, must be in \[0, inf\)"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"eps": 0.0}, r"eps is 0\.0, must be in \[1e-30, inf\)"),
        ({"eps": 1e-46}, "eps is 1e-46, must be in"),
        ({"weight_decay": -0.1}, r"weight_decay is -0\.1"),
    ],
)
def test_an_option_out_of_range_is_named(
    options: dict[str, float], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        RowWiseAdagrad([nn.Parameter(torch.zeros(2, 2))], **options)


def test_only_float32_rows_are_trained() -> None:
    for bad in (torch.zeros(2, 2, dtype=torch.float64), torch.tensor(1.0)):
        with pytest.raises(InvalidArgumentError, match=r"params\[1\] is torch.float"):
            RowWiseAdagrad([nn.Parameter(torch.zeros(3)), nn.Parameter(bad)])


def test_parameters_of_any_rank_and_without_gradient_are_taken() -> None:
    flat = nn.Parameter(torch.ones(4))
    cube = nn.Parameter(torch.ones(3, 2, 2))
    idle = nn.Parameter(torch.ones(2, 2))
    optimizer = RowWiseAdagrad([flat, cube, idle], lr=0.1)
    flat.grad, cube.grad = torch.ones(4), torch.ones(3, 2, 2)
    assert optimizer.step(lambda: 3.5) == 3.5
    torch.testing.assert_close(flat.detach(), torch.full((4,), 0.9))
    torch.testing.assert_close(cube.detach(), torch.full((3, 2, 2), 0.9))
    assert torch.equal(idle, torch.ones(2, 2))


def test_a_table_without_rows_steps_to_itself() -> None:
    for grad in (torch.zeros(0, 3), sparse_grad([], torch.zeros(0, 3), 0)):
        empty = nn.Parameter(torch.zeros(0, 3))
        empty.grad = grad
        RowWiseAdagrad([empty]).step()
