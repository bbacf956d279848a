"""The reduced ranker: which columns it takes, and whom it agrees with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stepwell.features.catalogue import FeatureCatalogue
from stepwell.features.view_features import RANKER_VIEWS
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import ModelConfig, Objective, SparseColumn
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.ranker_inputs import DenseInputs
from stepwell.training.distill import (
    REDUCED_DENSE,
    DistillOptions,
    distilled,
    narrowed,
    reduced_config,
)
from stepwell.training.ranker_trainer import TrainerOptions
from stepwell.training.ranker_training import MUTE_SCALE, dense_columns, logits_of
from stepwell.training.ranking_rows import RankingRows

CATALOGUE = FeatureCatalogue(("department", "category"), ("department",), RANKER_VIEWS)
OPTIONS = DistillOptions(
    trainer=TrainerOptions(epochs=12, queries_per_step=8, learning_rate=1e-2)
)


@pytest.fixture(scope="module")
def rows() -> RankingRows:
    rng = np.random.default_rng(2)
    num_queries, each = 48, 40
    num_rows = num_queries * each
    dense = rng.gamma(1.0, 3.0, (num_rows, len(CATALOGUE.dense))).astype(np.float32)
    return RankingRows(
        dense=dense,
        sparse=rng.integers(0, 3, (num_rows, 2)),
        labels=np.zeros((num_rows, 2), np.float32),
        is_new=rng.random(num_rows) < 0.5,
        weights=np.ones(num_rows, np.float32),
        offsets=np.arange(num_queries + 1) * each,
    )


@pytest.fixture(scope="module")
def full(rows: RankingRows) -> Dlrm:
    config = ModelConfig(
        dense=dense_columns(rows, CATALOGUE),
        sparse=(SparseColumn("department", 3), SparseColumn("user_segment", 3)),
        embedding_dim=4,
        bottom_widths=(16,),
        top_widths=(8,),
        objectives=(Objective("purchase", 1.0), Objective("repeat", 0.1)),
    )
    torch.manual_seed(4)
    model = Dlrm(config).eval()
    taken = [n in REDUCED_DENSE for n in config.dense_names]
    with torch.no_grad():
        # A full ranker that looks at what the reduced one sees can be learnt from.
        first = model.bottom[0]
        assert isinstance(first, torch.nn.Linear)
        first.weight *= torch.tensor(taken, dtype=torch.float32) * 3.0
    return model


def test_takes_the_listed_columns_and_the_finest_affinity(full: Dlrm) -> None:
    config = reduced_config(full.config, CATALOGUE.affinity_columns, OPTIONS)
    names = set(config.dense_names)
    assert set(REDUCED_DENSE) < names
    finest = {name for name in names if name.startswith("affinity_")}
    assert finest == {n for n in CATALOGUE.dense_names if "affinity_category" in n}
    assert config.sparse_names == ("department",)
    assert config.objectives == full.config.objectives
    plain = reduced_config(full.config, (), OPTIONS)
    assert set(plain.dense_names) == set(REDUCED_DENSE)


def test_every_listed_column_exists() -> None:
    assert set(REDUCED_DENSE) <= set(CATALOGUE.dense_names)


def test_narrowed_rows_have_the_models_columns_in_its_order(
    rows: RankingRows, full: Dlrm
) -> None:
    config = reduced_config(full.config, CATALOGUE.affinity_columns, OPTIONS)
    taken = narrowed(rows, full.config, config)
    place = CATALOGUE.dense_names.index(config.dense_names[5])
    np.testing.assert_array_equal(taken.dense[:, 5], rows.dense[:, place])
    np.testing.assert_array_equal(taken.sparse[:, 0], rows.sparse[:, 0])


def test_learns_the_full_rankers_opinion(rows: RankingRows, full: Dlrm) -> None:
    config = reduced_config(full.config, CATALOGUE.affinity_columns, OPTIONS)
    reduced = distilled(full, rows, config, OPTIONS)
    taken = narrowed(rows, full.config, config)
    ours, theirs = logits_of(reduced, taken)[:, 0], logits_of(full, rows)[:, 0]
    untrained = distilled(
        full,
        rows,
        config,
        replace(OPTIONS, trainer=replace(OPTIONS.trainer, epochs=0)),
    )
    before = np.corrcoef(logits_of(untrained, taken)[:, 0], theirs)[0, 1]
    assert np.corrcoef(ours, theirs)[0, 1] > max(0.6, before)


def test_moments_are_those_of_the_transformed_values(rows: RankingRows) -> None:
    columns = dense_columns(rows, CATALOGUE)
    for place in (0, CATALOGUE.dense_names.index("own_is")):
        column, values = columns[place], rows.dense[:, place].astype(np.float64)
        if column.transform == "log1p":
            values = np.log1p(values)
        assert column.mean == pytest.approx(values.mean(), rel=1e-6)
        assert column.scale == pytest.approx(values.std(), rel=1e-6)


def test_a_constant_column_stays_mute_when_it_moves(rows: RankingRows) -> None:
    constant = replace(rows, dense=np.full_like(rows.dense, 2.0))
    columns = dense_columns(constant, CATALOGUE)
    assert {column.scale for column in columns} == {MUTE_SCALE}
    inputs = DenseInputs(replace(MODEL, dense=columns))
    moved = inputs(torch.full((1, len(columns)), 1e9))
    assert moved.abs().max() < 1e-12
