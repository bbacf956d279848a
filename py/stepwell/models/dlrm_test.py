"""The full ranker against its definition in plain torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stepwell.models.dlrm import Dlrm
from stepwell.models.interaction import CrossInteraction
from stepwell.models.ranker_config import ModelConfig
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.reduced_ranker import ReducedRanker

TABLES = [4, 3]
CROSSED = replace(MODEL, interaction="cross", cross_layers=2, cross_rank=3)


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


def _plain_cross(
    model: Dlrm, dense: torch.Tensor, sparse: torch.Tensor
) -> torch.Tensor:
    """The same with DCN-v2's formula in the place of the dots."""
    hidden = model.bottom(model.inputs(dense))
    vectors = [model.projection(hidden)]
    vectors += [table[sparse[:, t]] for t, table in enumerate(model.tables)]
    first = now = torch.cat(vectors, dim=1)
    weights = model.interaction
    assert isinstance(weights, CrossInteraction)
    for down, up, bias in zip(weights.down, weights.up, weights.bias, strict=True):
        now = first * (now @ down @ up + bias) + now
    return torch.as_tensor(model.output(model.top(torch.cat([hidden, now], dim=1))))


@pytest.mark.parametrize("num_rows", [0, 1, 7, 65])
def test_with_a_cross_network_equals_its_definition(num_rows: int) -> None:
    torch.manual_seed(2)
    model = Dlrm(CROSSED).eval()
    dense, sparse = _inputs(num_rows)
    torch.testing.assert_close(model(dense, sparse), _plain_cross(model, dense, sparse))


def test_the_weights_of_a_ranker_with_dots_have_the_names_they_always_had() -> None:
    parts = {name.split(".")[0] for name in Dlrm(MODEL).state_dict()}
    assert parts == {"inputs", "bottom", "projection", "tables", "top", "output"}


@pytest.mark.parametrize("config", [MODEL, CROSSED])
def test_gradients_reach_every_parameter(config: ModelConfig) -> None:
    model = Dlrm(config)
    model(*_inputs(64)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_broken_input_gives_a_finite_logit(bad: float) -> None:
    dense, sparse = _inputs(3)
    dense[1, :] = bad
    models = (Dlrm(MODEL), Dlrm(CROSSED), ReducedRanker(MODEL))
    for model in (model.eval() for model in models):
        assert torch.isfinite(model(dense, sparse)).all()


def test_dropout_does_not_change_the_names_of_the_weights() -> None:
    assert set(Dlrm(MODEL, 0.5).state_dict()) == set(Dlrm(MODEL).state_dict())


def test_rankers_work_without_categories() -> None:
    config = replace(MODEL, sparse=())
    dense, sparse = _inputs(5)[0], torch.zeros(5, 0, dtype=torch.int64)
    assert Dlrm(config)(dense, sparse).shape == (5, 2)
    crossed = replace(CROSSED, sparse=())
    assert Dlrm(crossed)(dense, sparse).shape == (5, 2)
    assert ReducedRanker(config)(dense, sparse).shape == (5, 2)
