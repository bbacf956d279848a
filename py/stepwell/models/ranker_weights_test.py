"""Weights of the full ranker, read without the model that they are of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stepwell.base.errors import DataLossError
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import ModelConfig
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.ranker_file import save_weights
from stepwell.models.ranker_weights import RankerWeights, dot_ranker_shapes


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Dlrm, Path]:
    torch.manual_seed(3)
    model = Dlrm(MODEL)
    path = tmp_path / "weights.safetensors"
    save_weights(model, path)
    return model, path


@pytest.mark.parametrize(
    "config", [MODEL, replace(MODEL, sparse=(), top_widths=(5, 4, 3))]
)
def test_knows_the_tensors_of_a_model_by_its_config(config: ModelConfig) -> None:
    state = Dlrm(config).state_dict()
    wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert dot_ranker_shapes(config) == wanted


def test_reads_what_the_model_learnt(saved: tuple[Dlrm, Path]) -> None:
    model, path = saved
    weights = RankerWeights.load(MODEL, path)
    state = model.state_dict()
    for name, value in state.items():
        np.testing.assert_array_equal(weights.tensors[name], value.numpy())
    last = weights.bottom[1]
    np.testing.assert_array_equal(last.weight, state["bottom.3.weight"].numpy())
    np.testing.assert_array_equal(last.bias, state["bottom.3.bias"].numpy())
    assert [layer.weight.shape[0] for layer in weights.top] == [5]
    np.testing.assert_array_equal(weights.table(1), state["tables.1"].numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output.bias": None}, "missing or unknown tensors: output.bias"),
        ({"extra": torch.zeros(1)}, "unknown tensors: extra"),
        ({"output.bias": torch.zeros(3)}, r"is float32 \(3,\), must be .* \(2,\)"),
        ({"output.bias": torch.zeros(2).double()}, "must be float32"),
        ({"output.bias": torch.zeros(2).bfloat16()}, "bfloat16"),
        ({"output.bias": torch.zeros(2).to(torch.float8_e5m2)}, "float8"),
        ({"inputs.is_log": torch.zeros(2)}, "must be bool"),
        ({"tables.0": torch.full((4, 4), torch.inf)}, "not finite"),
    ],
)
def test_refuses_tensors_that_do_not_fit(
    saved: tuple[Dlrm, Path], change: dict[str, torch.Tensor | None], message: str
) -> None:
    _, path = saved
    tensors = {**load_file(path), **change}
    kept = {name: value for name, value in tensors.items() if value is not None}
    save_file(kept, path)
    with pytest.raises(DataLossError, match=message):
        RankerWeights.load(MODEL, path)


def test_refuses_a_file_that_is_cut_short_or_missing(saved: tuple[Dlrm, Path]) -> None:
    _, path = saved
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataLossError):
        RankerWeights.load(MODEL, path)
    path.unlink()
    with pytest.raises(DataLossError):
        RankerWeights.load(MODEL, path)
