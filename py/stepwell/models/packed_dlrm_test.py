"""The packed ranker against the model it was frozen from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stepwell.models.dlrm import Dlrm
from stepwell.models.packed_dlrm import PackedDlrm
from stepwell.models.precision import PRECISIONS, Precision
from stepwell.models.ranker_config import ModelConfig, SparseColumn
from stepwell.models.ranker_config_fixture import MODEL

# Largest difference of a logit; logits here are of about unit size.
TOLERANCES: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.05}
# Wide enough for int8 layers.
WIDE = replace(
    MODEL,
    bottom_widths=(320, 256),
    top_widths=(288, 256),
    embedding_dim=16,
    sparse=(*MODEL.sparse, SparseColumn("brand", 50)),
)

every_precision = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.fixture(autouse=True)
def without_gradients() -> object:
    with torch.inference_mode():
        yield


def _model(config: ModelConfig) -> Dlrm:
    torch.manual_seed(7)
    with torch.inference_mode(False):
        return Dlrm(config).eval()


def _inputs(config: ModelConfig, num_rows: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(num_rows)
    dense = rng.normal(size=(num_rows, len(config.dense))).astype(np.float32)
    sparse = np.zeros((num_rows, len(config.sparse)), np.int64)
    for column, entry in enumerate(config.sparse):
        sparse[:, column] = rng.integers(0, entry.num_rows, num_rows)
    return torch.from_numpy(dense), torch.from_numpy(sparse)


@every_precision
@pytest.mark.parametrize("interaction", ["dot", "cross"])
@pytest.mark.parametrize("num_rows", [0, 1, 7, 257])
def test_answers_as_its_model(
    precision: Precision, interaction: str, num_rows: int
) -> None:
    config = replace(WIDE, interaction=interaction)
    model = _model(config)
    packed = PackedDlrm.freeze(model, precision)
    dense, sparse = _inputs(config, num_rows)
    logits = packed(dense, sparse)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(
        logits, model(dense, sparse), rtol=0.0, atol=TOLERANCES[precision]
    )


@every_precision
def test_works_without_categories(precision: Precision) -> None:
    config = replace(MODEL, sparse=())
    model = _model(config)
    dense, sparse = _inputs(config, 5)
    torch.testing.assert_close(
        PackedDlrm.freeze(model, precision)(dense, sparse),
        model(dense, sparse),
        rtol=0.0,
        atol=TOLERANCES[precision],
    )


@every_precision
def test_gives_the_same_bits_again(precision: Precision) -> None:
    packed = PackedDlrm.freeze(_model(WIDE), precision)
    inputs = _inputs(WIDE, 65)
    assert torch.equal(packed(*inputs), packed(*inputs))


@every_precision
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_broken_input_gives_a_finite_logit(precision: Precision, bad: float) -> None:
    packed = PackedDlrm.freeze(_model(MODEL), precision)
    dense, sparse = _inputs(MODEL, 3)
    expected = packed(dense, sparse)
    dense[1, :] = bad
    found = packed(dense, sparse)
    assert torch.isfinite(found).all()
    assert torch.equal(found[::2], expected[::2])


def test_does_not_see_later_changes_of_its_model() -> None:
    model = _model(replace(MODEL, interaction="cross"))
    inputs = _inputs(MODEL, 3)
    packed = PackedDlrm.freeze(model, "float32")
    before = packed(*inputs)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.zero_()
    assert torch.equal(packed(*inputs), before)


def test_refuses_a_row_that_is_not_in_a_table() -> None:
    packed = PackedDlrm.freeze(_model(MODEL), "float32")
    dense, sparse = _inputs(MODEL, 3)
    sparse[1, 0] = MODEL.sparse[0].num_rows
    with pytest.raises(RuntimeError, match="table 0"):
        packed(dense, sparse)
