"""Trains a ranker on rows of snapshots: cross-entropy beside listwise losses."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stepwell.models.ranker_config import ModelConfig
from stepwell.training.ranker_losses import listwise, weighted_cross_entropy
from stepwell.training.ranker_optimizers import (
    check_embedding_optimizer,
    ranker_optimizers,
)
from stepwell.training.ranker_trainer_checkpoint import (
    load_checkpoint,
    save_checkpoint,
)
from stepwell.training.ranking_rows import RankingRows

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainerOptions:
    """Options of a training.

    Attributes:
        epochs: passes over all queries, at least.
        min_steps: more passes are made until there are that many steps, so that few
            queries still train a model; 0 asks for none.
        queries_per_step: lists in a batch.
        learning_rate: peak; warms up over a tenth of the steps, then falls to 0.
        weight_decay: of AdamW.
        embedding_optimizer: what trains the tables, of EMBEDDING_OPTIMIZERS.
        embedding_learning_rate: peak of row-wise Adagrad; it warms up and falls alike.
        listwise_weight: of the two listwise losses (all items, new items) beside the
            cross-entropy's `pointwise_weight`.
        pointwise_weight: scales the cross-entropy, whose values are small.
        num_threads: of torch while training. Batches are small: two threads gain
            nothing on idle cores and lose eightfold when another process wants one.
        seed: of order, dropout and start.
    """

    epochs: int = 3
    min_steps: int = 0
    queries_per_step: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    listwise_weight: float = 0.5
    pointwise_weight: float = 10.0
    num_threads: int = 1
    seed: int = 0
    embedding_optimizer: str = "adam"
    embedding_learning_rate: float = 5e-2

    def __post_init__(self) -> None:
        check_embedding_optimizer(self.embedding_optimizer)

    def num_steps(self, num_queries: int) -> int:
        """Returns the steps of one pass, at least 1."""
        return max(-(-num_queries // self.queries_per_step), 1)

    def num_epochs(self, num_queries: int) -> int:
        """Returns the passes that are made over so many queries."""
        return max(self.epochs, -(-self.min_steps // self.num_steps(num_queries)))


class RankerTrainer:
    """Fits a model's logits to the labels of rows, query by query.

    Args:
        model: logits [N, O] of (dense, sparse); its first objective is ranked listwise.
        config: the model's columns.
        options: how to train.
        checkpoint: file saved after each epoch and resumed from; None saves nothing.

    Concurrency: one thread. Determinism: same rows, options and thread count, same
    weights, also over a resume at an epoch's end.
    """

    def __init__(
        self,
        model: nn.Module,
        config: ModelConfig,
        options: TrainerOptions,
        checkpoint: Path | None = None,
    ) -> None:
        self._model = model
        self._config = config
        self._options = options
        self._checkpoint = checkpoint
        self._optimizers = ranker_optimizers(
            model,
            options.embedding_optimizer,
            options.learning_rate,
            options.embedding_learning_rate,
            options.weight_decay,
        )
        self._rates = [
            optimizer.param_groups[0]["lr"] for optimizer in self._optimizers
        ]

    def train(self, rows: RankingRows, progress: Progress | None = None) -> list[float]:
        """Runs the epochs that the checkpoint does not have; returns their mean losses.

        Args:
            rows: all columns in the order of the model's config.
            progress: called with "ranker" and the done share.
        Cost: about 3 s an epoch for 1 M rows of 90 features on one core.
        """
        done = self._resume(rows)
        threads = torch.get_num_threads()
        torch.set_num_threads(self._options.num_threads)
        self._model.train()
        try:
            losses = [
                self._epoch(epoch, rows, progress)
                for epoch in range(done, self._options.num_epochs(rows.num_queries))
            ]
        finally:
            torch.set_num_threads(threads)
        self._model.eval()
        return losses

    def _epoch(self, epoch: int, rows: RankingRows, progress: Progress | None) -> float:
        """One pass over all queries; returns its mean loss."""
        options = self._options
        # Seeded by epoch: a resumed training draws what an unbroken one would.
        torch.manual_seed(options.seed * 1_000 + epoch)
        random = np.random.default_rng([options.seed, epoch])
        order = random.permutation(rows.num_queries)
        num_steps = options.num_steps(rows.num_queries)
        num_epochs = options.num_epochs(rows.num_queries)
        total = 0.0
        for step in range(num_steps):
            share = (epoch * num_steps + step) / (num_epochs * num_steps)
            self._set_rate(share)
            start = step * options.queries_per_step
            total += self._step(rows, order[start : start + options.queries_per_step])
            if progress and step % 10 == 0:
                progress("ranker", share)
        self._save(epoch + 1, rows)
        return total / num_steps

    def _set_rate(self, share: float) -> None:
        """One cycle: linear up over the first tenth, then a cosine down to 0."""
        factor = (
            share / 0.1
            if share < 0.1
            else 0.5 + 0.5 * np.cos(np.pi * (share - 0.1) / 0.9)
        )
        for optimizer, peak in zip(self._optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * max(float(factor), 1e-3)

    def _step(self, rows: RankingRows, queries: npt.NDArray[np.int64]) -> float:
        batch = _batch(rows, queries)
        logits = self._model(batch.dense, batch.sparse)
        loss = self._loss(logits, batch, len(queries))
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._model.parameters(), 10.0)
        for optimizer in self._optimizers:
            optimizer.step()
        return loss.item()

    def _loss(self, logits: Tensor, batch: "_Batch", num_queries: int) -> Tensor:
        options = self._options
        loss = options.pointwise_weight * weighted_cross_entropy(
            logits, batch.labels, batch.weights
        )
        if options.listwise_weight:
            scores, labels = logits[:, 0], batch.labels[:, 0]
            for kept in (slice(None), batch.is_new):
                loss = loss + options.listwise_weight * listwise(
                    scores[kept],
                    labels[kept],
                    batch.weights[kept],
                    batch.queries[kept],
                    num_queries,
                )
        return loss

    def _fingerprint(self, rows: RankingRows) -> str:
        """Of what must be the same for a checkpoint to be this training's."""
        parts = {
            "config": asdict(self._config),
            "options": asdict(self._options),
            "rows": [len(rows.labels), rows.num_queries, float(rows.labels.sum())],
        }
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _save(self, epochs_done: int, rows: RankingRows) -> None:
        if self._checkpoint is not None:
            save_checkpoint(
                self._checkpoint,
                self._model,
                self._optimizers,
                epochs_done,
                self._fingerprint(rows),
            )

    def _resume(self, rows: RankingRows) -> int:
        if self._checkpoint is None:
            return 0
        return load_checkpoint(
            self._checkpoint, self._model, self._optimizers, self._fingerprint(rows)
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of a few queries as tensors; `queries` int64 [R] numbers them from 0."""

    dense: Tensor
    sparse: Tensor
    labels: Tensor
    is_new: Tensor
    weights: Tensor
    queries: Tensor


def _batch(rows: RankingRows, queries: npt.NDArray[np.int64]) -> _Batch:
    starts, ends = rows.offsets[queries], rows.offsets[queries + 1]
    lengths = ends - starts
    taken = np.concatenate(
        [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    )
    return _Batch(
        dense=torch.from_numpy(rows.dense[taken]),
        sparse=torch.from_numpy(rows.sparse[taken]),
        labels=torch.from_numpy(rows.labels[taken]),
        is_new=torch.from_numpy(rows.is_new[taken]),
        weights=torch.from_numpy(rows.weights[taken]),
        queries=torch.from_numpy(np.repeat(np.arange(len(queries)), lengths)),
    )


class EtaProgress:
    """Turns a done share into seconds left. Concurrency: one thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._part = ""
        self._started = 0.0

    def seconds_left(self, part: str, share: float) -> float | None:
        """Returns the estimate for this part, None before anything is done."""
        if part != self._part:
            self._part, self._started = part, self._now()
        if share <= 0:
            return None
        return (self._now() - self._started) * (1.0 - share) / share
