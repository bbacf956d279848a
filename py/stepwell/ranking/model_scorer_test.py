"""Scorers: columns, weights and broken values."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog
import torch
from torch import Tensor, nn

from stepwell.base.errors import FailedPreconditionError
from stepwell.models.dlrm import Dlrm
from stepwell.models.precision import PRECISIONS
from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
    SparseColumn,
)
from stepwell.models.ranker_file import FULL_RANKER_NAME, save_weights
from stepwell.pipeline.query import FeatureBatch
from stepwell.ranking.model_scorer import ModelScorer

DENSE = ("a", "b", "c")
SPARSE = ("department", "segment")
CONFIG = ModelConfig(
    dense=tuple(DenseColumn(name, "linear", 0.0, 1.0) for name in ("c", "a")),
    sparse=(SparseColumn("segment", 3),),
    embedding_dim=4,
    bottom_widths=(8,),
    top_widths=(4,),
    objectives=(Objective("purchase", 1.0), Objective("repeat", 0.5)),
)
BATCH = FeatureBatch(
    np.arange(12, dtype=np.float32).reshape(4, 3),
    np.array([[1, 2], [0, 1], [3, 0], [2, 2]], np.int64),
)


class _Fixed(nn.Module):
    """Returns what it was given to return, and keeps what it was asked."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer
        self.asked: tuple[Tensor, Tensor] | None = None

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        self.asked = (dense, sparse)
        return self.answer(dense, sparse)


def test_takes_the_models_columns_by_name() -> None:
    model = _Fixed(lambda dense, _: torch.zeros(len(dense), 2))
    ModelScorer(model, CONFIG, DENSE, SPARSE).score(BATCH)
    assert model.asked is not None
    dense, sparse = model.asked
    assert dense.tolist() == BATCH.dense[:, [2, 0]].tolist()
    assert sparse.tolist() == BATCH.sparse[:, [1]].tolist()


def test_total_is_the_weighted_sum_of_probabilities() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, -1.0], [-3.0, 4.0], [50.0, -50.0]])
    scorer = ModelScorer(_Fixed(lambda *_: logits), CONFIG, DENSE, SPARSE)
    scores = scorer.score(BATCH)
    probabilities = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    np.testing.assert_allclose(scores.objectives, probabilities, rtol=1e-5)
    np.testing.assert_allclose(scores.total, probabilities @ [1.0, 0.5], rtol=1e-5)
    assert scores.names == ("purchase", "repeat")
    assert scores.total.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_sink(bad: float) -> None:
    logits = torch.zeros(4, 2)
    logits[2, 1] = bad
    weights = (Objective("purchase", 1.0), Objective("repeat", np.inf))
    config = CONFIG if np.isnan(bad) else replace(CONFIG, objectives=weights)
    scorer = ModelScorer(_Fixed(lambda *_: logits), config, DENSE, SPARSE)
    total = scorer.score(BATCH).total
    assert total[2] == -np.inf
    assert not np.isnan(total).any()


def test_no_candidates_is_no_error() -> None:
    scorer = ModelScorer(Dlrm(CONFIG).eval(), CONFIG, DENSE, SPARSE)
    empty = FeatureBatch(np.zeros((0, 3), np.float32), np.zeros((0, 2), np.int64))
    scores = scorer.score(empty)
    assert scores.total.shape == (0,)
    assert scores.objectives.shape == (0, 2)


def test_refuses_a_model_that_takes_what_is_not_computed() -> None:
    with pytest.raises(FailedPreconditionError, match=r"dense features .*: c"):
        ModelScorer(Dlrm(CONFIG), CONFIG, ("a", "b"), SPARSE)
    with pytest.raises(FailedPreconditionError, match=r"sparse features .*: segment"):
        ModelScorer(Dlrm(CONFIG), CONFIG, DENSE, ("department",))


def test_loads_from_a_release(tmp_path: Path) -> None:
    torch.manual_seed(5)
    full = Dlrm(CONFIG)
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    save_weights(full, tmp_path / FULL_RANKER_NAME)
    own = ModelScorer(full.eval(), CONFIG, DENSE, SPARSE)
    loaded = ModelScorer.load(tmp_path, DENSE, SPARSE)
    wanted = own.score(BATCH).total
    np.testing.assert_allclose(loaded.score(BATCH).total, wanted, rtol=1e-6)
    for precision in PRECISIONS:
        loaded = ModelScorer.load(tmp_path, DENSE, SPARSE, precision)
        np.testing.assert_allclose(loaded.score(BATCH).total, wanted, atol=0.01)


def test_falls_back_to_float32_with_a_log_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    save_weights(Dlrm(CONFIG), tmp_path / FULL_RANKER_NAME)
    exact = ModelScorer.load(tmp_path, DENSE, SPARSE).score(BATCH)
    monkeypatch.setattr("stepwell.models.precision.processor_flags", frozenset)
    with structlog.testing.capture_logs() as logs:
        fallen = ModelScorer.load(tmp_path, DENSE, SPARSE, "bfloat16").score(BATCH)
    np.testing.assert_array_equal(fallen.total, exact.total)
    assert [(line["event"], line["used"]) for line in logs] == [
        ("scorer_precision", "float32")
    ]
    assert "AVX512-BF16" in logs[0]["reason"]
