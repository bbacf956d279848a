"""The benchmark `scorer`: what FULL's scorer costs at 500 candidates, and batching.

Two models: one of the size that a larger site has (26 tables x 100,000 x 64), whose
weights are random and whose logits spread as a trained model's do, and one of the size
of the demo's. Figures are processor time of the calling thread: contenders take turns,
each with another request, and the median of a contender's calls counts.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.dlrm_forward import DlrmSize, TorchDlrm, area_under_curve
from bench.report import BenchRow, at_most
from stepwell.base.clock import SystemClock
from stepwell.base.metrics import Metrics
from stepwell.models.dlrm import Dlrm
from stepwell.models.fused_dlrm import FusedDlrm
from stepwell.models.packed_dlrm import PackedDlrm
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    SparseColumn,
)
from stepwell.pipeline.query import FeatureBatch
from stepwell.ranking.batcher import BatchingOptions, BatchingScorer
from stepwell.ranking.fused_scorer import FusedScorer
from stepwell.ranking.model_scorer import ModelScorer

NUM_CANDIDATES = 500
MAX_LARGE_US, MAX_SMALL_US = 900.0, 300.0
_NUM_REQUESTS = 31
_USER = "user"
# Mean and deviation of the logits, as dlrm_forward has them.
_LOGITS = (-1.8, 1.3)


@dataclass(frozen=True, slots=True)
class Site:
    """A model and its items.

    Attributes:
        name: as the row shows it.
        config: the last sparse column is the user's, the others are the item's.
        num_items: of the release.
    """

    name: str
    config: ModelConfig
    num_items: int


def large_site(num_rows: int) -> Site:
    """The model of a larger site, with tables of `num_rows` rows."""
    config = _config(13, 26, num_rows, 64, (512, 256, 64), (512, 256))
    return Site(f"26 x {num_rows:,} x 64, 13-512-256-64, 512-256", config, num_rows)


def small_site() -> Site:
    """A model of the size of the demo's."""
    config = _config(86, 4, 300, 8, (128, 64), (64,))
    return Site("4 x 300 x 8, 86-128-64, 64", config, 40_000)


class Requests:
    """Requests of random users and items, as features and as tensors."""

    def __init__(self, site: Site) -> None:
        rng = np.random.default_rng(5)
        config, self._site = site.config, site
        self.items = {
            column.name: rng.integers(0, column.num_rows, site.num_items)
            for column in config.sparse[:-1]
        }
        self.batches = [self._batch(rng) for _ in range(_NUM_REQUESTS)]

    def _batch(self, rng: np.random.Generator) -> FeatureBatch:
        config = self._site.config
        rows = rng.integers(0, self._site.num_items, NUM_CANDIDATES)
        sparse = np.empty((NUM_CANDIDATES, len(config.sparse)), np.int64)
        for place, column in enumerate(config.sparse[:-1]):
            sparse[:, place] = self.items[column.name][rows]
        sparse[:, -1] = rng.integers(0, config.sparse[-1].num_rows)
        shape = (NUM_CANDIDATES, len(config.dense))
        dense = rng.exponential(1.0, shape).astype(np.float32)
        return FeatureBatch(dense, sparse, rows)


Call = Callable[[FeatureBatch], Any]


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yields the rows; `quick` takes tables of 10,000 rows and compiles nothing.

    Cost: some 60 s, 3 GiB.
    """
    torch.set_num_threads(1)
    with torch.inference_mode():
        turns = 4 if quick else 20
        large = _large_rows(10_000 if quick else 100_000, turns)
        rows = [*large, _small_row(2 * turns, compiles=not quick)]
    for row in rows:
        yield asdict(row)


def _large_rows(num_rows: int, turns: int) -> Iterator[BenchRow]:
    site = large_site(num_rows)
    requests = Requests(site)
    model = _model(site.config, requests)
    ours = _fused(model, "int8", requests)
    contenders = {
        "ours": ours.score,
        "eager fp32": _eager(model, num_rows),
        "fused, bf16": _fused(model, "bfloat16", requests).score,
        "tables, int8": _scorer(PackedDlrm.freeze(model, "int8"), site.config).score,
        "the same model eager": _scorer(model, site.config).score,
    }
    times = _times_us(contenders, requests.batches, turns)
    work = f"FULL's scorer, {NUM_CANDIDATES} candidates, {site.name}, int8, "
    work += _quality(model, ours, requests.batches)
    yield _row(work, times, "eager fp32", MAX_LARGE_US)
    yield from _batching_rows(site, ours, requests.batches, turns)


def _small_row(turns: int, *, compiles: bool = False) -> BenchRow:
    site = small_site()
    requests = Requests(site)
    model = _model(site.config, requests)
    ours = _fused(model, "bfloat16", requests)
    contenders = {
        "ours": ours.score,
        "tables, bf16": _scorer(
            PackedDlrm.freeze(model, "bfloat16"), site.config
        ).score,
        "the same model eager": _scorer(model, site.config).score,
    }
    if compiles:
        # What a server would have to gain from a compiler beside the packed form.
        compiled: Any = torch.compile(model, dynamic=False)
        contenders["torch.compile"] = _scorer(compiled, site.config).score
    times = _times_us(contenders, requests.batches, turns)
    work = f"FULL's scorer, {NUM_CANDIDATES} candidates, {site.name}, bf16, "
    work += _quality(model, ours, requests.batches)
    return _row(work, times, "the same model eager", MAX_SMALL_US)


def _batching_rows(
    site: Site, scorer: FusedScorer, batches: Sequence[FeatureBatch], turns: int
) -> Iterator[BenchRow]:
    """What sharing calls saves at best, and what is left of it between threads."""
    calls: dict[str, Call] = {
        f"batches of {size}": _of_size(scorer, batches, size) for size in (1, 2, 4)
    }
    times = _times_us(calls, batches, turns)
    each = {name: us / int(name.split()[-1]) for name, us in times.items()}
    alone = each.pop("batches of 1")
    work = f"processor time a request scored {{}}, {site.name}, int8"
    yield BenchRow(work.format("in one call"), alone, "us", also=each)
    threaded = {
        name: _threaded_us(_batching(scorer, size), batches, threads, turns)
        for name, threads, size in (
            ("2 threads, batches of 1", 2, 1),
            ("2 threads, batches of 2", 2, 2),
            ("4 threads, batches of 4", 4, 4),
        )
    }
    alone = _threaded_us(scorer.score, batches, 1, turns)
    yield BenchRow(work.format("by 1 thread"), alone, "us", also=threaded)


def _row(work: str, times: Mapping[str, float], peer: str, limit: float) -> BenchRow:
    row = at_most(work, times["ours"], "us", limit, {peer: times[peer]})
    also = {n: us for n, us in times.items() if n not in ("ours", peer)}
    return BenchRow(**{**asdict(row), "also": also})


def _config(
    num_dense: int,
    num_sparse: int,
    num_rows: int,
    dim: int,
    bottom: tuple[int, ...],
    top: tuple[int, ...],
) -> ModelConfig:
    names = [*(f"category_{t}" for t in range(num_sparse - 1)), _USER]
    transforms = ("linear", "log1p")
    return ModelConfig(
        dense=tuple(
            DenseColumn(f"dense_{f}", transforms[f % 2], 0.5, 1.0)
            for f in range(num_dense)
        ),
        sparse=tuple(SparseColumn(name, num_rows) for name in names),
        embedding_dim=dim,
        bottom_widths=bottom,
        top_widths=top,
        objectives=(Objective("purchase", 1.0),),
    )


def _model(config: ModelConfig, requests: Requests) -> Dlrm:
    torch.manual_seed(11)
    model = Dlrm(config).eval()
    for table in model.tables:
        table.normal_(0.0, 0.3)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
    dense, sparse = _tensors(requests.batches[0])
    logits = model(dense, sparse)
    mean, deviation = _LOGITS
    factor = deviation / logits.std()
    model.output.weight.mul_(factor)
    model.output.bias.mul_(factor).add_(mean - factor * logits.mean())
    return model


def _eager(model: Dlrm, num_rows: int) -> Call:
    """The usual model of the DLRM paper with the same widths, in torch's own words."""
    size = DlrmSize(26, num_rows, 64, 13, NUM_CANDIDATES, (512, 256), (512, 256))
    eager = TorchDlrm(size).eval()
    eager.tables = model.tables
    eager.as_bags = False

    def score(batch: FeatureBatch) -> Tensor:
        dense, sparse = _tensors(batch)
        found: Tensor = eager(dense, sparse.t())
        return found

    return score


def _scorer(model: torch.nn.Module, config: ModelConfig) -> ModelScorer:
    return ModelScorer(model, config, config.dense_names, config.sparse_names)


def _fused(model: Dlrm, precision: Precision, requests: Requests) -> FusedScorer:
    columns = {name: torch.from_numpy(rows) for name, rows in requests.items.items()}
    fused = FusedDlrm.freeze(model, precision, columns)
    config = model.config
    names = (config.dense_names, config.sparse_names)
    return FusedScorer(fused.packed(), config, *names, _USER)


def _tensors(batch: FeatureBatch) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(batch.dense), torch.from_numpy(batch.sparse)


def _quality(model: Dlrm, ours: FusedScorer, batches: Sequence[FeatureBatch]) -> str:
    """The largest error of a score, and both AUCs over labels of the exact scores."""
    exact = np.concatenate(
        [torch.sigmoid(model(*_tensors(batch))).numpy().ravel() for batch in batches]
    )
    found = np.concatenate([ours.score(batch).total for batch in batches])
    labels = np.random.default_rng(3).random(len(exact)) < exact
    error = float(np.abs(found - exact).max())
    return (
        f"AUC {_auc(exact, labels):.4f} to {_auc(found, labels):.4f} "
        f"(largest error {error:.1e})"
    )


def _auc(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.bool_]) -> float:
    return area_under_curve(scores.tolist(), labels.tolist())


def _times_us(
    calls: Mapping[str, Call], batches: Sequence[FeatureBatch], turns: int
) -> dict[str, float]:
    """Median processor time of each call; every call has another request."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    requests = cycle(batches)
    for _ in range(turns * len(calls)):
        for name, call in calls.items():
            batch = next(requests)
            started = time.thread_time()
            call(batch)
            times[name].append((time.thread_time() - started) * 1e6)
    return {name: float(np.median(found)) for name, found in times.items()}


def _of_size(scorer: FusedScorer, batches: Sequence[FeatureBatch], size: int) -> Call:
    groups = cycle(
        [list(batches[at : at + size]) for at in range(0, len(batches) - size, size)]
    )
    return lambda _: scorer.score_all(next(groups))


def _batching(scorer: FusedScorer, size: int) -> Call:
    options = BatchingOptions(size, 1_000)
    if not options.batches:
        return scorer.score
    return BatchingScorer(scorer, options, SystemClock(), Metrics()).score


def _threaded_us(
    score: Call, batches: Sequence[FeatureBatch], num_threads: int, turns: int
) -> float:
    """Processor time of the process a request while threads score side by side."""
    each = turns * 8

    def work(thread: int) -> None:
        for number in range(each):
            score(batches[(number + 7 * thread) % len(batches)])

    with ThreadPoolExecutor(num_threads) as pool:
        started = time.process_time()
        list(pool.map(work, range(num_threads)))
        used = time.process_time() - started
    return used * 1e6 / (each * num_threads)
