"""The full ranker against its definition in plain torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.reduced_ranker import ReducedRanker

TABLES = [4, 3]


def _inputs(num_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(num_rows)
    dense = torch.from_numpy(rng.normal(size=(num_rows, 2)).astype(np.float32))
    sparse = torch.from_numpy(
        np.stack([rng.integers(0, size, num_rows) for size in TABLES], axis=1)
    )
    return dense, sparse


def _plain(model: Dlrm, dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
    """The same function without our ops."""
    hidden = model.bottom(model.inputs(dense))
    vectors = [model.projection(hidden)]
    vectors += [table[sparse[:, t]] for t, table in enumerate(model.tables)]
    pairs = [
        (vectors[i] * vectors[j]).sum(dim=1)
        for i in range(len(vectors))
        for j in range(i)
    ]
    top = torch.cat([hidden, vectors[0], torch.stack(pairs, dim=1)], dim=1)
    return torch.as_tensor(model.output(model.top(top)))


@pytest.mark.parametrize("num_rows", [0, 1, 7, 65])
def test_equals_its_definition(num_rows: int) -> None:
    torch.manual_seed(1)
    model = Dlrm(MODEL).eval()
    dense, sparse = _inputs(num_rows)
    logits = model(dense, sparse)
    assert logits.shape == (num_rows, 2)
    torch.testing.assert_close(logits, _plain(model, dense, sparse))


def test_gradients_reach_every_parameter() -> None:
    model = Dlrm(MODEL)
    model(*_inputs(64)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_broken_input_gives_a_finite_logit(bad: float) -> None:
    dense, sparse = _inputs(3)
    dense[1, :] = bad
    for model in (Dlrm(MODEL).eval(), ReducedRanker(MODEL).eval()):
        assert torch.isfinite(model(dense, sparse)).all()


def test_dropout_does_not_change_the_names_of_the_weights() -> None:
    assert set(Dlrm(MODEL, 0.5).state_dict()) == set(Dlrm(MODEL).state_dict())


def test_rankers_work_without_categories() -> None:
    config = replace(MODEL, sparse=())
    dense, sparse = _inputs(5)[0], torch.zeros(5, 0, dtype=torch.int64)
    assert Dlrm(config)(dense, sparse).shape == (5, 2)
    assert ReducedRanker(config)(dense, sparse).shape == (5, 2)
