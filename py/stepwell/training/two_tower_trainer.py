"""Training of the two-tower model on the past of a snapshot."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from scipy import sparse

from stepwell.models.two_tower import HistoryBatch, TwoTower, TwoTowerConfig
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.losses import sampled_softmax_loss
from stepwell.training.negatives import MixedNegatives
from stepwell.training.split import Snapshot

FloatArray = npt.NDArray[np.float32]
Progress = Callable[[str, float], None]

CONTENT_COLUMNS = ("department", "category", "type", "manufacturer", "brand_type")
"""Columns of the item table that become content embeddings, where they are there."""

POPULARITY_HALF_LIVES_DAYS = (7.0, 21.0, 60.0, 180.0)


@dataclass(frozen=True, slots=True)
class TwoTowerOptions:
    """Options of the training.

    Attributes:
        epochs, batch_users, learning_rate, weight_decay, seed: as everywhere.
        item_lr_ratio: learning rate of items' own vectors as a part of the rest's. At 1
            the training loss falls twice as fast and new R@500 falls from 0.206 to
            0.192 within three epochs.
        num_negatives: draws by popularity for each batch.
        popularity_power: draws are proportional to recent popularity^power.
        window_days: a user's targets are the new items of so many days.
        stride_days, num_windows: windows start so far apart; at most so many.
        dim, hidden: shape of the trained block.
    """

    epochs: int = 1
    batch_users: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    item_lr_ratio: float = 0.02
    num_negatives: int = 4_096
    popularity_power: float = 0.75
    window_days: int = 35
    stride_days: int = 14
    num_windows: int = 12
    dim: int = 64
    hidden: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Window:
    """One training window: who had which history, and what new came in the window."""

    histories: sparse.csr_matrix
    targets: sparse.csr_matrix
    popularity: torch.Tensor
    negatives: MixedNegatives


class TwoTowerTrainer:
    """Trains, one epoch at a time, with a checkpoint after each.

    A window ends before the snapshot's cut, and its histories and popularity are those
    of its own start: nothing of the future enters. The same seed gives the same model.

    Concurrency: one thread calls.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        start: FloatArray,
        options: TwoTowerOptions,
        checkpoint: Path | None = None,
    ) -> None:
        """Prepares windows and model.

        Args:
            snapshot: what is known at the cut.
            start: float32 [N, >= D2], where items' vectors start.
            options: of the training.
            checkpoint: file that epochs are saved to and resumed from.
        """
        self._options = options
        self._checkpoint = checkpoint
        torch.manual_seed(options.seed)
        content, sizes = _content(snapshot)
        dim = min(options.dim, start.shape[1])
        config = TwoTowerConfig(
            num_items=snapshot.num_items,
            content_sizes=sizes,
            num_popularity=len(POPULARITY_HALF_LIVES_DAYS) + 1,
            dim=dim,
            hidden=options.hidden,
        )
        self.model = TwoTower(config, content, start[:, :dim])
        self._windows = _windows(snapshot, options)
        own = self.model.own_vectors()
        rest = [p for p in self.model.parameters() if all(p is not q for q in own)]
        rate = options.learning_rate
        self._optimizer = torch.optim.AdamW(
            [
                {"params": own, "lr": rate * options.item_lr_ratio},
                {"params": rest, "lr": rate},
            ],
            weight_decay=options.weight_decay,
        )
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self.losses: list[float] = []

    def train(self, progress: Progress | None = None) -> TwoTower:
        """Runs the epochs that the checkpoint does not have yet; returns the model."""
        self._resume()
        for epoch in range(len(self.losses), self._options.epochs):
            self.losses.append(self._epoch(epoch, progress))
            self._save()
        return self.model

    def _epoch(self, epoch: int, progress: Progress | None) -> float:
        rng = np.random.default_rng([self._options.seed, epoch])
        batches = list(_batches(self._windows, self._options.batch_users, rng))
        total = self._options.epochs * max(len(batches), 1)
        loss_sum = 0.0
        for step, (window, users) in enumerate(batches):
            self._set_rate((epoch * len(batches) + step) / total)
            loss_sum += self._step(window, users, rng)
            if progress:
                progress("two-tower", (epoch * len(batches) + step + 1) / total)
        return loss_sum / max(len(batches), 1)

    def _set_rate(self, done: float) -> None:
        """Warms up over the first tenth, then falls to zero along a cosine."""
        rising = min(done / 0.1, 1.0)
        falling = 0.5 * (1.0 + np.cos(np.pi * max(done - 0.1, 0.0) / 0.9))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * float(max(rising * falling, 0.01))

    def _step(
        self, window: _Window, users: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> float:
        targets, histories = window.targets[users], window.histories[users]
        drawn = window.negatives.sample(
            targets.indices.astype(np.int64), len(users), rng
        )
        rows = torch.from_numpy(drawn.item_rows)
        vectors = self.model.users(
            history_batch(histories), self.model.history_vectors()
        )
        logits = self.model.logits(
            vectors, self.model.candidate_vectors(rows), window.popularity[rows]
        )
        counts = np.diff(targets.indptr)
        loss = sampled_softmax_loss(
            logits,
            torch.from_numpy(drawn.log_sampled),
            torch.from_numpy(np.repeat(np.arange(len(users)), counts)),
            torch.from_numpy(np.searchsorted(drawn.item_rows, targets.indices)),
            _own_mask(histories, drawn.item_rows),
        )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(loss.detach())

    def _fingerprint(self) -> str:
        shape = asdict(self.model.config)
        return json.dumps({"options": asdict(self._options), "shape": shape})

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for group, index, parameter in self._parameters():
            for name, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{group}.{index}.{name}"] = torch.as_tensor(value)
        metadata = {
            "fingerprint": self._fingerprint(),
            "losses": json.dumps(self.losses),
        }
        partial = self._checkpoint.with_suffix(".partial")
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata)
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        """Takes up a checkpoint of the same options and shape; others are ignored."""
        if self._checkpoint is None or not self._checkpoint.exists():
            return
        metadata = _metadata(self._checkpoint)
        if metadata.get("fingerprint") != self._fingerprint():
            return
        tensors = load_file(self._checkpoint)
        state = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
        self.model.load_state_dict(state)
        for group, index, parameter in self._parameters():
            prefix = f"optimizer.{group}.{index}."
            self._optimizer.state[parameter] = {
                k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)
            }
        self.losses = list(json.loads(metadata["losses"]))

    def _parameters(self) -> Iterator[tuple[int, int, torch.nn.Parameter]]:
        for group, entry in enumerate(self._optimizer.param_groups):
            for index, parameter in enumerate(entry["params"]):
                yield group, index, parameter


def popularity_features(snapshot: Snapshot) -> FloatArray:
    """Returns float32 [N, P]: logs of decayed counts and of last month's buyers."""
    columns = [
        np.log(snapshot.decayed_counts(days) * 30.0 / days + 0.05)
        for days in POPULARITY_HALF_LIVES_DAYS
    ]
    month = snapshot.cut_time - 28 * DAY_SECONDS
    columns.append(np.log(snapshot.distinct_buyers(month, snapshot.cut_time) + 0.3))
    return np.stack(columns, axis=1).astype(np.float32)


def history_batch(histories: sparse.csr_matrix) -> HistoryBatch:
    """Returns a sparse [B, N] matrix of weights as jagged tensors."""
    return HistoryBatch(
        torch.from_numpy(histories.indices.astype(np.int64)),
        torch.from_numpy(histories.indptr[:-1].astype(np.int64)),
        torch.from_numpy(histories.data.astype(np.float32)),
    )


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _content(snapshot: Snapshot) -> tuple[npt.NDArray[np.int64], tuple[int, ...]]:
    categories = snapshot.table.item_table.categories
    columns = [categories[name] for name in CONTENT_COLUMNS if name in categories]
    codes = [column.codes[snapshot.table_rows] for column in columns]
    stacked = np.stack(codes, 1) if codes else np.zeros((snapshot.num_items, 0))
    return stacked.astype(np.int64), tuple(len(column.names) for column in columns)


def _windows(snapshot: Snapshot, options: TwoTowerOptions) -> list[_Window]:
    """Returns the windows, latest first; a sixth of the record precedes each."""
    first, cut = int(snapshot.times[0]), snapshot.cut_time
    span = min(options.window_days * DAY_SECONDS, (cut - first) // 4)
    earliest = first + (cut - first) // 6
    starts = [
        cut - span - k * options.stride_days * DAY_SECONDS
        for k in range(options.num_windows)
    ]
    return [
        _window(snapshot, start, start + span, options)
        for start in starts
        if start >= earliest
    ]


def _window(
    snapshot: Snapshot, start: int, end: int, options: TwoTowerOptions
) -> _Window:
    before = snapshot.as_of(start)
    shape = (snapshot.num_users, snapshot.num_items)
    begin, stop = np.searchsorted(snapshot.times, [start, end])
    pair = snapshot.user_rows[begin:stop].astype(np.int64) * shape[1]
    pair = np.unique(pair + snapshot.item_rows[begin:stop])
    known = before.pairs.user_rows.astype(np.int64) * shape[1] + before.pairs.item_rows
    user, item = np.divmod(pair[~np.isin(pair, known)], shape[1])
    ones = np.ones(len(user), np.float32)
    targets = sparse.csr_matrix((ones, (user, item)), shape=shape)
    features = popularity_features(before)
    popularity = np.exp(features[:, -1].astype(np.float64)) ** options.popularity_power
    rate = np.bincount(item, minlength=shape[1]) / max(len(np.unique(user)), 1)
    negatives = MixedNegatives(popularity, rate, options.num_negatives)
    histories = before.affinity_matrix()
    return _Window(histories, targets, torch.from_numpy(features), negatives)


def _batches(
    windows: list[_Window], batch_users: int, rng: np.random.Generator
) -> Iterator[tuple[_Window, npt.NDArray[np.int64]]]:
    chunks = []
    for index, window in enumerate(windows):
        has_both = (np.diff(window.targets.indptr) > 0) & (
            np.diff(window.histories.indptr) > 0
        )
        users = rng.permutation(np.flatnonzero(has_both))
        chunks += [
            (index, users[start : start + batch_users])
            for start in range(0, len(users), batch_users)
        ]
    for place in rng.permutation(len(chunks)):
        index, users = chunks[place]
        yield windows[index], users


def _own_mask(
    histories: sparse.csr_matrix, rows: npt.NDArray[np.int64]
) -> torch.Tensor:
    own = histories[:, rows].tocoo()
    mask = torch.zeros(own.shape, dtype=torch.bool)
    mask[
        torch.from_numpy(own.row.astype(np.int64)),
        torch.from_numpy(own.col.astype(np.int64)),
    ] = True
    return mask
