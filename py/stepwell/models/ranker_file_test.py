"""Weights on disk."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stepwell.base.errors import DataLossError
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.ranker_file import load_weights, save_weights


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Dlrm, Path]:
    torch.manual_seed(3)
    model = Dlrm(MODEL)
    path = tmp_path / "weights.safetensors"
    save_weights(model, path)
    return model, path


def test_loads_what_was_saved_in_evaluation_mode(saved: tuple[Dlrm, Path]) -> None:
    model, path = saved
    again = Dlrm(MODEL, dropout=0.5)
    load_weights(again, path)
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("output.bias"), "missing or unknown tensors: output.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unknown tensors: extra"),
        (lambda t: t.update({"output.bias": torch.zeros(3)}), r"must be .* \(2,\)"),
        (
            lambda t: t.update({"output.bias": torch.zeros(2, dtype=torch.float64)}),
            "must be float32",
        ),
        (
            lambda t: t.update({"output.bias": torch.tensor([0.0, torch.nan])}),
            "not finite",
        ),
    ],
)
def test_refuses_tensors_that_do_not_fit(
    saved: tuple[Dlrm, Path], change: object, message: str
) -> None:
    model, path = saved
    tensors = load_file(path)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path)
    with pytest.raises(DataLossError, match=message):
        load_weights(model, path)


def test_refuses_a_truncated_file(saved: tuple[Dlrm, Path]) -> None:
    model, path = saved
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataLossError):
        load_weights(model, path)
