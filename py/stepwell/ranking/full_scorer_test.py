"""Which form of the full ranker a release is served in, and that they agree."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog
import torch

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.dlrm import Dlrm
from stepwell.models.packed_mlp import usable_precision
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
    SparseColumn,
)
from stepwell.models.ranker_file import FULL_RANKER_NAME, save_weights
from stepwell.pipeline.query import FeatureBatch
from stepwell.ranking.compiled_cache import CompiledCache
from stepwell.ranking.full_scorer import FullScorerOptions, load_full_scorer
from stepwell.ranking.fused_scorer import FusedScorer
from stepwell.ranking.model_scorer import ModelScorer

DENSE = ("a", "b", "c")
SPARSE = ("department", "brand", "segment")
CONFIG = ModelConfig(
    dense=tuple(DenseColumn(name, "linear", 0.0, 1.0) for name in ("c", "a")),
    sparse=(SparseColumn("segment", 3), SparseColumn("department", 4)),
    embedding_dim=4,
    bottom_widths=(8,),
    top_widths=(4,),
    objectives=(Objective("purchase", 1.0), Objective("repeat", 0.5)),
)
ITEMS = {"department": np.array([1, 0, 3, 2, 1], np.int32)}
FUSED = FullScorerOptions("bfloat16", ITEMS)

pytestmark = pytest.mark.skipif(
    bool(usable_precision("int8")[1]), reason="no processor of the fused form"
)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    RankerConfig((), (), "0" * 64, CONFIG, CONFIG).save(tmp_path)
    save_weights(Dlrm(CONFIG), tmp_path / FULL_RANKER_NAME)
    return tmp_path


def _batch(rows: list[int], segment: int) -> FeatureBatch:
    rng = np.random.default_rng(len(rows))
    sparse = np.zeros((len(rows), 3), np.int64)
    sparse[:, 0] = ITEMS["department"][rows]
    sparse[:, 2] = segment
    dense = rng.normal(size=(len(rows), 3)).astype(np.float32)
    return FeatureBatch(dense, sparse, np.array(rows, np.int64))


def test_is_fused_where_items_fix_all_columns_but_the_users(release: Path) -> None:
    fused = load_full_scorer(release, DENSE, SPARSE, FUSED)
    assert isinstance(fused, FusedScorer)
    exact = ModelScorer.load(release, DENSE, SPARSE)
    for segment in (0, 2):
        batch = _batch([4, 0, 2, 2], segment)
        ours, wanted = fused.score(batch), exact.score(batch)
        np.testing.assert_allclose(ours.total, wanted.total, atol=0.01)
        np.testing.assert_allclose(ours.objectives, wanted.objectives, atol=0.01)
        assert ours.names == wanted.names


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (FullScorerOptions("bfloat16", {}), "no sparse column"),
        (replace(FUSED, max_record_bytes=1_000), "need 1280 bytes, the limit is 1000"),
    ],
)
def test_has_tables_otherwise_and_says_why(
    release: Path, options: FullScorerOptions, reason: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        scorer = load_full_scorer(release, DENSE, SPARSE, options)
    assert isinstance(scorer, ModelScorer)
    lines = [line for line in logs if line["event"] == "scorer_form"]
    assert len(lines) == 1
    assert reason in lines[0]["reason"]


def test_float32_has_tables_and_that_is_no_news(release: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        options = FullScorerOptions("float32", ITEMS)
        scorer = load_full_scorer(release, DENSE, SPARSE, options)
    assert isinstance(scorer, ModelScorer)
    assert not [line for line in logs if line["event"] == "scorer_form"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_requests_scored_together_get_their_own_scores(
    release: Path, precision: Precision
) -> None:
    options = replace(FUSED, precision=precision)
    scorer = load_full_scorer(release, DENSE, SPARSE, options)
    batches = [_batch([0, 1, 2], 1), _batch([], 0), _batch([4, 3], 2)]
    for ours, batch in zip(scorer.score_all(batches), batches, strict=True):
        wanted = scorer.score(batch)
        np.testing.assert_allclose(ours.total, wanted.total, rtol=1e-6)
        np.testing.assert_allclose(ours.objectives, wanted.objectives, rtol=1e-6)


def test_asks_for_the_rows_of_the_items(release: Path) -> None:
    scorer = load_full_scorer(release, DENSE, SPARSE, FUSED)
    batch = replace(_batch([1], 0), item_rows=None)
    with pytest.raises(InvalidArgumentError, match="item_rows is None"):
        scorer.score(batch)


def test_a_kept_ranker_scores_as_the_packed_one_does_and_is_not_packed_again(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = replace(
        FUSED,
        cache=CompiledCache(tmp_path / "compiled"),
        digests={FULL_RANKER_NAME: "a" * 64},
    )
    first = load_full_scorer(release, DENSE, SPARSE, kept)

    def pack_again(*_: object) -> None:
        pytest.fail("it is in the cache")

    monkeypatch.setattr("stepwell.ranking.full_scorer.pack_ranker", pack_again)
    second = load_full_scorer(release, DENSE, SPARSE, kept)
    batch = _batch([4, 0, 2, 2], 1)
    np.testing.assert_array_equal(first.score(batch).total, second.score(batch).total)


def test_the_serving_form_needs_no_torch() -> None:
    script = "import sys; sys.modules['torch'] = None\n"
    script += "import stepwell.ranking.full_scorer"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
