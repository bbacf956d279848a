"""The two-tower model and what serving keeps of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.models.history_weights import (
    AFFINITY_HALF_LIFE_SECONDS,
    affinity_weights,
)
from stepwell.models.two_tower import HistoryBatch, TwoTower, TwoTowerConfig
from stepwell.models.two_tower_user import UserTower
from stepwell.schema.user_history import UserHistory

CONFIG = TwoTowerConfig(
    num_items=20, content_sizes=(4,), num_popularity=2, dim=6, hidden=5
)
NOW = 1_500_000_000


def _model() -> TwoTower:
    torch.manual_seed(0)
    content = np.arange(20)[:, None] % 4
    model = TwoTower(CONFIG, content)
    torch.nn.init.normal_(model.output.weight)
    return model


def _tower(seed: int = 0) -> UserTower:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return rng.normal(size=shape).astype(np.float32)

    return UserTower(
        fixed_vectors=normal(20, 4),
        trained_vectors=normal(20, 6),
        hidden_weight=normal(5, 6),
        hidden_bias=normal(5),
        output_weight=normal(6, 5),
        output_bias=normal(6),
        gain=np.array([0.5], np.float32),
        space_hash=np.zeros(32, np.uint8),
    )


def _batch(rows: list[int], weights: list[float]) -> HistoryBatch:
    return HistoryBatch(
        torch.tensor(rows), torch.tensor([0]), torch.tensor(weights, dtype=torch.float)
    )


def test_numpy_pools_as_torch_does() -> None:
    model = _model()
    with torch.no_grad():
        vectors = model.history_vectors()
        want = model.users(_batch([3, 7, 7], [1.0, 0.5, 2.0]), vectors)[0].numpy()
    layers = {
        "hidden_weight": model.hidden.weight,
        "hidden_bias": model.hidden.bias,
        "output_weight": model.output.weight,
        "output_bias": model.output.bias,
    }
    tower = UserTower(
        fixed_vectors=np.ones((20, 1), np.float32),
        trained_vectors=vectors.numpy(),
        gain=np.array([0.5], np.float32),
        space_hash=np.zeros(32, np.uint8),
        **{name: layer.detach().numpy() for name, layer in layers.items()},
    )
    got = tower.pooled(np.array([3, 7, 7]), np.array([1.0, 0.5, 2.0], np.float32))
    np.testing.assert_allclose(got[1:-1], 0.5 * want, rtol=1e-5, atol=1e-6)
    assert got[0] == pytest.approx(1.0)
    assert got[-1] == pytest.approx(0.5)


def _vector(
    tower: UserTower, history: UserHistory, rows: list[int]
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None":
    times = history.first_time, history.last_time
    return tower.vectors().of(history.num_purchases, times, np.array(rows), NOW)


def test_the_served_form_gives_what_numpy_pools() -> None:
    rng = np.random.default_rng(4)
    tower = _tower()
    for num_items in (1, 3, 19):
        keys = rng.permutation(20)[:num_items].astype(np.uint64)
        times = NOW - rng.integers(1, 10**7, num_items)
        history = UserHistory.from_events(keys, times)
        rows = rng.integers(0, 20, num_items)
        weights = affinity_weights(
            history.num_purchases, history.first_time, history.last_time, NOW
        )
        got = _vector(tower, history, rows.tolist())
        assert got is not None
        np.testing.assert_allclose(got, tower.pooled(rows, weights), atol=2e-6)


def test_a_history_that_cancels_out_has_a_vector_of_zeros_and_the_gain() -> None:
    tower = _tower()
    nothing = replace(
        tower,
        fixed_vectors=np.zeros((20, 4), np.float32),
        trained_vectors=np.zeros((20, 6), np.float32),
        hidden_bias=np.zeros(5, np.float32),
        output_bias=np.zeros(6, np.float32),
    )
    keys, times = np.array([1], np.uint64), np.array([NOW - 5])
    got = _vector(nothing, UserHistory.from_events(keys, times), [2])
    assert got is not None
    assert got.tolist() == [0.0] * 10 + [0.5]


@pytest.mark.parametrize("row", [-2, 20])
def test_a_row_that_no_item_has_is_refused(row: int) -> None:
    keys, times = np.array([1], np.uint64), np.array([NOW - 5])
    with pytest.raises(InvalidArgumentError, match=f"rows is {row}"):
        _vector(_tower(), UserHistory.from_events(keys, times), [row])


def test_logits_add_popularity_to_closeness() -> None:
    model = _model()
    users, items = torch.eye(6)[:2], torch.eye(6)[:3]
    popularity = torch.tensor([[0.0, 0.0], [2.0, 4.0], [0.0, 0.0]])
    got = model.logits(users, items, popularity)
    torch.testing.assert_close(
        got, torch.tensor([[8.0, 3.0, 0.0], [0.0, 11.0, 0.0]]), rtol=0, atol=1e-5
    )


def test_candidate_vectors_of_rows_are_those_of_all() -> None:
    model, rows = _model(), torch.tensor([4, 4, 19])
    torch.testing.assert_close(
        model.candidate_vectors(rows), model.candidate_vectors()[rows]
    )


def test_items_start_where_they_are_told() -> None:
    start = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    model = TwoTower(CONFIG, np.zeros((20, 1), np.int64), start)
    for own in model.own_vectors():
        np.testing.assert_array_equal(own.detach().numpy(), start)


def test_a_history_of_unknown_items_has_no_vector() -> None:
    keys, times = np.array([1, 2], np.uint64), np.array([NOW - 5, NOW - 9])
    history = UserHistory.from_events(keys, times)
    assert _vector(_tower(), history, [-1, -1]) is None


def test_unknown_items_do_not_change_the_vector() -> None:
    times = np.array([NOW - 5, NOW - 9])
    both = UserHistory.from_events(np.array([1, 2], np.uint64), times)
    one = UserHistory.from_events(np.array([1], np.uint64), times[:1])
    tower = _tower()
    got = _vector(tower, both, [8, -1])
    want = _vector(tower, one, [8])
    assert got is not None
    assert want is not None
    np.testing.assert_allclose(got, want)


def test_the_tower_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "tower.safetensors"
    _tower().save(path)
    loaded = UserTower.load(path)
    for name in UserTower.__slots__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(_tower(), name))


@pytest.mark.parametrize("name", ["hidden_bias", "space_hash", "gain", "fixed_vectors"])
def test_a_tower_whose_shapes_do_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "tower.safetensors"
    _tower().save(path)
    tensors = load_file(path)
    tensors[name] = tensors[name][:-1]
    save_file(tensors, path)
    with pytest.raises(DataLossError, match="do not fit"):
        UserTower.load(path)


def test_affinity_grows_with_purchases_and_halves_with_half_lives() -> None:
    count, time = np.array([1, 4], np.int32), np.array([NOW, NOW])
    assert affinity_weights(count, time, time, NOW).tolist() == [1.0, 2.0]
    later = NOW + 2 * AFFINITY_HALF_LIFE_SECONDS
    assert affinity_weights(count, time, time, later).tolist() == [0.5, 1.0]


def test_a_purchase_later_than_now_counts_as_now() -> None:
    count, time = np.array([1], np.int32), np.array([NOW + 99])
    assert affinity_weights(count, time, time, NOW).tolist() == [1.0]
