"""Training: it learns, it resumes, it is the same twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import (
    INTERACTIONS,
    DenseColumn,
    ModelConfig,
    Objective,
    SparseColumn,
)
from stepwell.training.ranker_optimizers import ranker_optimizers
from stepwell.training.ranker_trainer import (
    EtaProgress,
    RankerTrainer,
    TrainerOptions,
)
from stepwell.training.ranker_training import logits_of
from stepwell.training.ranking_rows import RankingRows
from stepwell.training.training_config import QUICK

CONFIG = ModelConfig(
    dense=tuple(DenseColumn(name, "linear", 0.0, 1.0) for name in "abc"),
    sparse=(SparseColumn("department", 4),),
    embedding_dim=4,
    bottom_widths=(16,),
    top_widths=(8,),
    objectives=(Objective("purchase", 1.0), Objective("repeat", 0.1)),
)
OPTIONS = TrainerOptions(epochs=4, queries_per_step=8, learning_rate=2e-2)
ROW_WISE = replace(OPTIONS, embedding_optimizer="row_wise_adagrad")

both_optimizers = pytest.mark.parametrize("options", [OPTIONS, ROW_WISE])


@pytest.fixture(scope="module")
def rows() -> RankingRows:
    """What is bought depends on the first column and the department."""
    rng = np.random.default_rng(3)
    num_queries, each = 64, 30
    num_rows = num_queries * each
    dense = rng.normal(size=(num_rows, 3)).astype(np.float32)
    sparse = rng.integers(0, 4, (num_rows, 1))
    logit = 2.0 * dense[:, 0] + 1.5 * (sparse[:, 0] == 2) - 2.0
    bought = rng.random(num_rows) < 1 / (1 + np.exp(-logit))
    labels = np.stack([bought, bought & (dense[:, 1] > 0)], axis=1)
    return RankingRows(
        dense=dense,
        sparse=sparse,
        labels=labels.astype(np.float32),
        is_new=rng.random(num_rows) < 0.5,
        weights=np.ones(num_rows, np.float32),
        offsets=np.arange(num_queries + 1) * each,
    )


def _trained(
    rows: RankingRows, options: TrainerOptions, checkpoint: Path | None = None
) -> tuple[Dlrm, list[float]]:
    torch.manual_seed(1)
    model = Dlrm(CONFIG, dropout=0.1)
    losses = RankerTrainer(model, CONFIG, options, checkpoint).train(rows)
    return model, losses


@both_optimizers
def test_learns_what_decides(rows: RankingRows, options: TrainerOptions) -> None:
    model, losses = _trained(rows, options)
    assert losses[-1] < losses[0]
    scores = logits_of(model, rows)[:, 0]
    truth = 2.0 * rows.dense[:, 0] + 1.5 * (rows.sparse[:, 0] == 2)
    assert np.corrcoef(scores, truth)[0, 1] > 0.9


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_learns_a_product_of_inputs_with_either_interaction(
    rows: RankingRows, interaction: str
) -> None:
    # What is bought when two inputs have one sign: no sum of the inputs says it.
    bought = (rows.dense[:, 0] * rows.dense[:, 1] > 0).astype(np.float32)
    crossed = replace(rows, labels=np.stack([bought, bought], axis=1))
    config = replace(CONFIG, interaction=interaction, cross_rank=4)
    torch.manual_seed(1)
    model = Dlrm(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses = RankerTrainer(model, config, replace(OPTIONS, epochs=12)).train(crossed)
    assert losses[-1] < 0.5 * losses[0]
    scores = logits_of(model, crossed)[:, 0]
    told_apart = scores[bought == 1][:, None] > scores[bought == 0]
    assert told_apart.mean() > 0.95
    for name, value in model.interaction.state_dict(prefix="interaction.").items():
        assert not torch.equal(value, before[name]), name


@both_optimizers
def test_same_seed_same_weights(rows: RankingRows, options: TrainerOptions) -> None:
    first, second = (_trained(rows, options)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@both_optimizers
def test_a_resumed_training_equals_an_unbroken_one(
    rows: RankingRows,
    options: TrainerOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unbroken, _ = _trained(rows, options)
    checkpoint = tmp_path / "checkpoint"
    saved = RankerTrainer._save

    def dies_in_the_third(self: RankerTrainer, epochs: int, rows: RankingRows) -> None:
        saved(self, epochs, rows)
        if epochs == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RankerTrainer, "_save", dies_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            _trained(rows, options, checkpoint)
    resumed, losses = _trained(rows, options, checkpoint)
    assert len(losses) == 2
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_none(
    rows: RankingRows, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    _trained(rows, OPTIONS, checkpoint)
    _, losses = _trained(rows, replace(OPTIONS, seed=1), checkpoint)
    assert len(losses) == OPTIONS.epochs


def test_tables_alone_get_the_optimizer_named_for_them() -> None:
    optimizers = ranker_optimizers(Dlrm(CONFIG), "row_wise_adagrad", 1e-3, 0.1, 1e-2)
    trained = [
        [tuple(parameter.shape) for parameter in group["params"]]
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]
    assert trained[1] == [(4, 4)], "the table of departments"
    assert len(trained[0]) + 1 == len(list(Dlrm(CONFIG).parameters()))


def test_a_training_is_told_what_trains_the_full_rankers_tables() -> None:
    config = QUICK.with_embedding_optimizer("row_wise_adagrad").seeded(3)
    assert config.ranker.trainer.embedding_optimizer == "row_wise_adagrad"
    assert config.distill.trainer.embedding_optimizer == "adam"


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="embedding_optimizer is 'sgd'"):
        TrainerOptions(embedding_optimizer="sgd")


def test_a_damaged_checkpoint_is_none(rows: RankingRows, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    _trained(rows, OPTIONS, checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    _, losses = _trained(rows, OPTIONS, checkpoint)
    assert len(losses) == OPTIONS.epochs


def test_progress_grows_from_nothing_to_all(rows: RankingRows) -> None:
    shares: list[float] = []
    trainer = RankerTrainer(Dlrm(CONFIG), CONFIG, replace(OPTIONS, epochs=1))
    trainer.train(rows, lambda _, share: shares.append(share))
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_torchs_threads_are_given_back(rows: RankingRows) -> None:
    before = torch.get_num_threads()
    options = replace(OPTIONS, epochs=1, num_threads=before + 1)
    RankerTrainer(Dlrm(CONFIG), CONFIG, options).train(rows)
    assert torch.get_num_threads() == before


def test_time_left_follows_from_the_share_done() -> None:
    times = iter([10.0, 10.0, 14.0])
    eta = EtaProgress(lambda: next(times))
    assert eta.seconds_left("ranker", 0.0) is None
    assert eta.seconds_left("ranker", 0.25) == 0.0
    assert eta.seconds_left("ranker", 0.5) == 4.0


@pytest.mark.parametrize(
    ("num_queries", "epochs"), [(1, 300), (16, 300), (32, 150), (4_800, 3), (0, 300)]
)
def test_few_queries_are_passed_over_more_often(num_queries: int, epochs: int) -> None:
    options = TrainerOptions(epochs=3, min_steps=300, queries_per_step=16)
    assert options.num_epochs(num_queries) == epochs


def test_a_training_makes_the_least_steps_asked_for(rows: RankingRows) -> None:
    options = replace(OPTIONS, epochs=1, min_steps=20)
    assert len(_trained(rows, options)[1]) == 3  # 8 steps a pass
