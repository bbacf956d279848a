"""Two-tower training: it learns, it repeats, it resumes, it sees no future."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.build_index import build_index, export_towers, index_recall
from stepwell.training.co_occurrence import CoOccurrenceOptions, train_co_occurrence
from stepwell.training.split import Snapshot
from stepwell.training.two_tower_trainer import (
    TwoTowerOptions,
    TwoTowerTrainer,
    _window,
    history_batch,
    popularity_features,
)

OPTIONS = TwoTowerOptions(
    epochs=2,
    batch_users=64,
    num_negatives=100,
    window_days=21,
    num_windows=3,
    dim=16,
    hidden=16,
)
LOW_RANK = CoOccurrenceOptions(rank=16, neighbours=8, regularisation=20.0)


def _trainer(
    known: Snapshot, options: TwoTowerOptions = OPTIONS, checkpoint: Path | None = None
) -> TwoTowerTrainer:
    _, low_rank = train_co_occurrence(known, LOW_RANK)
    return TwoTowerTrainer(known, low_rank.start_vectors(), options, checkpoint)


def _state(trainer: TwoTowerTrainer) -> dict[str, torch.Tensor]:
    return trainer.model.state_dict()


def test_the_loss_falls(known: Snapshot) -> None:
    trainer = _trainer(known, replace(OPTIONS, epochs=5, learning_rate=5e-3))
    trainer.train()
    assert trainer.losses[-1] < 0.99 * trainer.losses[0]


def test_the_same_seed_gives_the_same_model(known: Snapshot) -> None:
    first, second = _trainer(known), _trainer(known)
    first.train()
    second.train()
    assert first.losses == second.losses
    for name, tensor in _state(first).items():
        assert torch.equal(tensor, _state(second)[name]), name


def test_a_resumed_training_ends_where_an_unbroken_one_does(
    known: Snapshot, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "tower.safetensors"
    whole = _trainer(known)
    whole.train()
    broken = _trainer(known, checkpoint=checkpoint)

    def stop(part: str, done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.train(stop)
    resumed = _trainer(known, checkpoint=checkpoint)
    resumed.train()
    assert resumed.losses == pytest.approx(whole.losses)
    for name, tensor in _state(whole).items():
        torch.testing.assert_close(_state(resumed)[name], tensor)


def test_a_checkpoint_of_other_options_is_not_taken_up(
    known: Snapshot, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "tower.safetensors"
    _trainer(known, replace(OPTIONS, epochs=1), checkpoint).train()
    other = _trainer(known, replace(OPTIONS, epochs=1, seed=9), checkpoint)
    other.train()
    fresh = _trainer(known, replace(OPTIONS, epochs=1, seed=9))
    fresh.train()
    assert other.losses == fresh.losses


def test_a_window_knows_only_what_was_before_it(known: Snapshot) -> None:
    end = known.cut_time - 10 * DAY_SECONDS
    start = end - 21 * DAY_SECONDS
    window = _window(known, start, end, OPTIONS)
    width = known.num_items
    pair = known.user_rows.astype(np.int64) * width + known.item_rows

    def pairs_of(matrix: sparse.csr_matrix) -> set[int]:
        entries = matrix.tocoo()
        return set((entries.row.astype(np.int64) * width + entries.col).tolist())

    before = set(pair[known.times < start].tolist())
    inside = set(pair[(known.times >= start) & (known.times < end)].tolist())
    assert pairs_of(window.histories) == before
    assert pairs_of(window.targets) == inside - before


def test_nothing_after_the_cut_changes_the_model(known: Snapshot) -> None:
    later = known.table.times >= known.cut_time
    assert later.any()
    table = replace(
        known.table,
        item_rows=np.where(later, 0, known.table.item_rows).astype(np.int32),
    )
    first, second = _trainer(known), _trainer(replace(known, table=table))
    first.train()
    second.train()
    assert first.losses == second.losses


def test_the_exported_tower_scores_as_the_trained_model(known: Snapshot) -> None:
    _, low_rank = train_co_occurrence(known, LOW_RANK)
    trainer = TwoTowerTrainer(known, low_rank.start_vectors(), OPTIONS)
    model = trainer.train()
    features, matrix = popularity_features(known), known.affinity_matrix()
    tower, items = export_towers(model, low_rank, features, matrix, gain=0.5)
    user = 3
    row = matrix[user]
    vector = tower.pooled(row.indices.astype(np.int64), row.data)
    with torch.no_grad():
        users = model.users(history_batch(row), model.history_vectors())
        logits = model.logits(
            users, model.candidate_vectors(), torch.from_numpy(features)
        )[0].numpy()
    fixed = low_rank.input_vectors().T @ row.toarray().ravel()
    fixed = low_rank.output_vectors() @ (fixed / np.linalg.norm(fixed))
    scores = items @ vector - 0.5 * (logits - logits.mean())
    scores -= scores.mean()
    fixed -= fixed.mean()
    ratio = scores @ fixed / (fixed @ fixed)
    np.testing.assert_allclose(scores, ratio * fixed, atol=1e-3)


def test_the_index_finds_what_exact_search_finds(known: Snapshot) -> None:
    _, low_rank = train_co_occurrence(known, LOW_RANK)
    model = TwoTowerTrainer(known, low_rank.start_vectors(), OPTIONS).model
    matrix = known.affinity_matrix()
    tower, items = export_towers(
        model, low_rank, popularity_features(known), matrix, gain=0.1
    )
    index = build_index(items, tower.space_hash.tobytes())
    rows = [matrix[user] for user in range(20)]
    queries = [tower.pooled(row.indices.astype(np.int64), row.data) for row in rows]
    assert index_recall(index, items, np.stack(queries), 20, 200) >= 0.99
    assert index.stats().space_hash == tower.space_hash.tobytes()
