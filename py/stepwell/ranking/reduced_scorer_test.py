"""The reduced ranker in numpy against the same model in torch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError, FailedPreconditionError
from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
    SparseColumn,
)
from stepwell.models.ranker_file import (
    REDUCED_RANKER_NAME,
    save_reduced_weights,
    save_weights,
)
from stepwell.models.reduced_ranker import ReducedRanker
from stepwell.pipeline.query import FeatureBatch
from stepwell.ranking.model_scorer import ModelScorer
from stepwell.ranking.reduced_scorer import ReducedScorer, load_reduced_scorer

DENSE = ("a", "b", "c")
SPARSE = ("department", "segment")
CONFIG = ModelConfig(
    dense=(DenseColumn("c", "log1p", 0.4, 1.5), DenseColumn("a", "linear", 0.1, 0.5)),
    sparse=(SparseColumn("segment", 3),),
    embedding_dim=4,
    bottom_widths=(8, 6),
    top_widths=(),
    objectives=(Objective("purchase", 1.0), Objective("repeat", 0.5)),
)


def _batch(num_rows: int, seed: int = 0) -> FeatureBatch:
    rng = np.random.default_rng(seed)
    dense = rng.normal(0, 5, (num_rows, 3)).astype(np.float32)
    return FeatureBatch(dense, rng.integers(0, 3, (num_rows, 2)))


def _reduced(
    model: ReducedRanker, dense: tuple[str, ...], sparse: tuple[str, ...]
) -> ReducedScorer:
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    return ReducedScorer(model.config, tensors, dense, sparse)


def _scorers() -> tuple[ReducedScorer, ModelScorer]:
    torch.manual_seed(5)
    model = ReducedRanker(CONFIG).eval()
    with torch.no_grad():
        # Tables start near zero: make them count.
        model.tables[0].normal_()
    numpy_scorer = _reduced(model, DENSE, SPARSE)
    return numpy_scorer, ModelScorer(model, CONFIG, DENSE, SPARSE)


@settings(max_examples=30)
@given(num_rows=st.integers(0, 70), seed=st.integers(0, 2**31))
def test_equals_the_model_in_torch(num_rows: int, seed: int) -> None:
    ours, theirs = _scorers()
    batch = _batch(num_rows, seed)
    before = batch.dense.copy()
    scores, expected = ours.score(batch), theirs.score(batch)
    np.testing.assert_allclose(scores.objectives, expected.objectives, atol=1e-5)
    np.testing.assert_allclose(scores.total, expected.total, atol=1e-5)
    assert scores.names == expected.names
    assert scores.total.dtype == scores.objectives.dtype == np.float32
    np.testing.assert_array_equal(batch.dense, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_treats_broken_inputs_as_torch_does(bad: float) -> None:
    ours, theirs = _scorers()
    batch = _batch(4)
    batch.dense[2] = bad
    scores = ours.score(batch)
    assert np.isfinite(scores.total).all()
    np.testing.assert_allclose(scores.total, theirs.score(batch).total, atol=1e-5)


def test_broken_weights_sink() -> None:
    model = ReducedRanker(CONFIG).eval()
    with torch.no_grad():
        model.output.bias[0] = torch.nan
    total = _reduced(model, DENSE, SPARSE).score(_batch(3)).total
    assert total.tolist() == [-np.inf] * 3


def test_loads_from_a_release(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = ReducedRanker(CONFIG)
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    save_weights(model, tmp_path / REDUCED_RANKER_NAME)
    own = _reduced(model, DENSE, SPARSE).score(_batch(9))
    loaded = load_reduced_scorer(tmp_path, DENSE, SPARSE).score(_batch(9))
    np.testing.assert_array_equal(own.total, loaded.total)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output.bias": None}, "missing or unknown tensors: output.bias"),
        ({"output.bias": np.zeros(3, np.float32)}, r"output.bias is float32 \(3,\)"),
        ({"tables.0": np.zeros((3, 4))}, "tables.0 is float64"),
        (
            {"hidden.3.bias": np.full(6, np.nan, np.float32)},
            "hidden.3.bias holds a value that is not finite",
        ),
        ({"hidden.6.bias": np.zeros(1, np.float32)}, "unknown tensors: hidden.6.bias"),
    ],
)
def test_refuses_a_file_of_another_model(
    tmp_path: Path, change: dict[str, npt.NDArray[np.generic] | None], said: str
) -> None:
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    state = ReducedRanker(CONFIG).state_dict()
    tensors = {name: value.numpy() for name, value in state.items()} | change
    kept = {name: values for name, values in tensors.items() if values is not None}
    save_file(kept, tmp_path / REDUCED_RANKER_NAME)
    with pytest.raises(DataLossError, match=said):
        load_reduced_scorer(tmp_path, DENSE, SPARSE)


def test_refuses_a_model_that_takes_what_is_not_computed() -> None:
    with pytest.raises(FailedPreconditionError, match="that are not computed: c"):
        _reduced(ReducedRanker(CONFIG), ("a", "b"), SPARSE)


def test_int8_rows_score_as_the_float_ones_nearly(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = ReducedRanker(CONFIG).eval()
    with torch.no_grad():
        model.tables[0].normal_()
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    save_reduced_weights(model, tmp_path / REDUCED_RANKER_NAME)
    tensors = load_file(tmp_path / REDUCED_RANKER_NAME)
    assert tensors["tables.0"].dtype == np.int8
    batch = _batch(30)
    scores = load_reduced_scorer(tmp_path, DENSE, SPARSE).score(batch)
    exact = _reduced(model, DENSE, SPARSE).score(batch)
    np.testing.assert_allclose(scores.objectives, exact.objectives, atol=0.01)
    assert not np.array_equal(scores.objectives, exact.objectives)


def test_damaged_int8_rows_are_refused(tmp_path: Path) -> None:
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    path = tmp_path / REDUCED_RANKER_NAME
    save_reduced_weights(ReducedRanker(CONFIG), path)
    tensors = load_file(path)
    for scale in (np.full(3, np.nan, np.float32), np.ones(4, np.float32)):
        save_file({**tensors, "tables.0.scale": scale}, path)
        with pytest.raises(DataLossError, match=r"tables\.0 is no table of int8 rows"):
            load_reduced_scorer(tmp_path, DENSE, SPARSE)
    save_file({n: v for n, v in tensors.items() if n != "tables.0.scale"}, path)
    with pytest.raises(DataLossError, match=r"tables\.0 is int8"):
        load_reduced_scorer(tmp_path, DENSE, SPARSE)
    for missing in ("tables.0", "output.bias"):
        save_file({n: v for n, v in tensors.items() if n != missing}, path)
        with pytest.raises(DataLossError, match="missing or unknown"):
            load_reduced_scorer(tmp_path, DENSE, SPARSE)
