"""The scorer of the REDUCED tier: the reduced ranker without a call into torch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from stepwell.base.deadline import Deadline
from stepwell.base.errors import DataLossError
from stepwell.models.int8_rows import SCALE_SUFFIX, float_rows
from stepwell.models.ranker_config import (
    CLIP,
    REDUCED_RANKER_NAME,
    ModelConfig,
    RankerConfig,
)
from stepwell.ops.objectives import weigh_objectives
from stepwell.ops.small_ranker import (
    SmallColumn,
    SmallLayer,
    SmallRanker,
    SmallTable,
)
from stepwell.pipeline.query import FeatureBatch, Scores
from stepwell.ranking.columns import positions_of
from stepwell.schema.vocabulary import RowArray

FloatArray = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[Any]]

_LAYERS_A_WIDTH = 3
"""Of ReducedRanker's `hidden`: linear, ReLU, dropout."""


class ReducedScorer:
    """Runs a ReducedRanker's weights in one native call.

    At 150 candidates a small model is all overhead: some 25 torch calls take
    0.5 ms, the same arithmetic in numpy 0.14 ms. A test holds torch and this together.

    Args:
        config: of the model.
        tensors: its state by name; copied.
        dense_names, sparse_names: the columns of the FeatureBatch, in its order; the
            model may take any subset of them.

    Raises:
        FailedPreconditionError: the model takes a column that the batch has not.

    Concurrency: immutable. Cost: about 0.03 ms for 150 candidates.
    """

    def __init__(
        self,
        config: ModelConfig,
        tensors: Tensors,
        dense_names: Sequence[str],
        sparse_names: Sequence[str],
    ) -> None:
        self._names = tuple(objective.name for objective in config.objectives)
        self._weights = np.array([o.weight for o in config.objectives], np.float32)
        dense = positions_of("dense", config.dense_names, dense_names)
        sparse = positions_of("sparse", config.sparse_names, sparse_names)
        self._native = SmallRanker(
            _columns(tensors, dense), CLIP, _tables(tensors, sparse), _layers(tensors)
        )

    def score(
        self,
        features: FeatureBatch,
        deadline: Deadline | None = None,  # noqa: ARG002 - the protocol's
    ) -> Scores:
        """Returns scores of the N candidates in the order of the features' rows."""
        logits = self._native.logits(features.dense, features.sparse)
        return Scores(*weigh_objectives(logits, self._weights), self._names)


def load_reduced_scorer(
    release_dir: Path, dense_names: Sequence[str], sparse_names: Sequence[str]
) -> ReducedScorer:
    """Returns the reduced ranker of a release directory as a scorer.

    Args: as those of ReducedScorer.
    Raises:
        DataLossError: the config or the weights are damaged.
        FailedPreconditionError: it takes a column that is not computed.
    """
    config = RankerConfig.load(release_dir).reduced
    path = release_dir / REDUCED_RANKER_NAME
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataLossError(f"{path}: {error}") from error
    tensors = _with_float_tables(path, tensors)
    _check(path, tensors, config)
    return ReducedScorer(config, tensors, dense_names, sparse_names)


def _with_float_tables(
    path: Path, tensors: dict[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Tables of int8 rows as float32; older releases have them so."""
    found = dict(tensors)
    for name in tensors:
        scales = found.pop(name + SCALE_SUFFIX, None)
        if scales is not None:
            found[name] = float_rows(f"{path}: {name}", tensors[name], scales)
    return found


def _check(path: Path, tensors: Tensors, config: ModelConfig) -> None:
    expected = _shapes(config)
    if set(expected) != set(tensors):
        differing = ", ".join(sorted(set(expected) ^ set(tensors))[:5])
        raise DataLossError(f"{path}: missing or unknown tensors: {differing}")
    for name, shape in expected.items():
        found = tensors[name]
        dtype = np.bool_ if name == "inputs.is_log" else np.float32
        if found.shape != shape or found.dtype != dtype:
            raise DataLossError(
                f"{path}: {name} is {found.dtype} {found.shape}, must be "
                f"{np.dtype(dtype)} {shape}"
            )
        if not np.isfinite(found).all():
            raise DataLossError(f"{path}: {name} holds a value that is not finite")


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of a ReducedRanker, as its state_dict has them."""
    num_dense, dim = len(config.dense), config.embedding_dim
    buffers = ("is_log", "mean", "inverse_scale")
    shapes: dict[str, tuple[int, ...]] = {f"inputs.{n}": (num_dense,) for n in buffers}
    for place, column in enumerate(config.sparse):
        shapes[f"tables.{place}"] = (column.num_rows, dim)
    width = num_dense + len(config.sparse) * dim
    widths = (width, *config.bottom_widths, *config.top_widths)
    for place, (fan_in, fan_out) in enumerate(pairwise(widths)):
        shapes |= _linear(f"hidden.{place * _LAYERS_A_WIDTH}", fan_in, fan_out)
    return shapes | _linear("output", widths[-1], len(config.objectives))


def _linear(name: str, fan_in: int, fan_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}


def _columns(tensors: Tensors, places: RowArray) -> list[SmallColumn]:
    described = zip(
        places.tolist(),
        tensors["inputs.is_log"].tolist(),
        tensors["inputs.mean"].tolist(),
        tensors["inputs.inverse_scale"].tolist(),
        strict=True,
    )
    return [SmallColumn(at, bool(log), mean, by) for at, log, mean, by in described]


def _tables(tensors: Tensors, places: RowArray) -> list[SmallTable]:
    return [
        SmallTable(column, _copied(tensors[f"tables.{place}"]))
        for place, column in enumerate(places.tolist())
    ]


def _layers(tensors: Tensors) -> list[SmallLayer]:
    num_hidden = sum(name.startswith("hidden.") for name in tensors) // 2
    names = [f"hidden.{place * _LAYERS_A_WIDTH}" for place in range(num_hidden)]
    return [
        SmallLayer(
            _copied(tensors[f"{name}.weight"].T), _copied(tensors[f"{name}.bias"])
        )
        for name in (*names, "output")
    ]


def _copied(values: npt.NDArray[Any]) -> FloatArray:
    return np.array(values, np.float32, order="C")
