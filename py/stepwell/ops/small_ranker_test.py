"""The small ranker against numpy, and what it refuses."""

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.small_ranker import SmallColumn, SmallLayer, SmallRanker, SmallTable

COLUMNS = [SmallColumn(2, True, 0.5, 2.0), SmallColumn(0, False, 0.0, 1.0)]
TABLE = np.arange(6, dtype=np.float32).reshape(3, 2)


def _layer(num_inputs: int, num_outputs: int, seed: int) -> SmallLayer:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(num_inputs, num_outputs)).astype(np.float32)
    return SmallLayer(weight, rng.normal(size=num_outputs).astype(np.float32))


LAYERS = [_layer(4, 5, 1), _layer(5, 2, 2)]


def _ranker() -> SmallRanker:
    return SmallRanker(COLUMNS, 6.0, [SmallTable(1, TABLE)], LAYERS)


def test_equals_the_same_layers_in_numpy() -> None:
    rng = np.random.default_rng(3)
    dense = rng.normal(0.0, 4.0, (30, 3)).astype(np.float32)
    sparse = rng.integers(0, 3, (30, 2))
    logs = (np.log1p(np.maximum(dense[:, 2], 0.0)) - 0.5) * 2.0
    columns = np.clip(np.stack([logs, dense[:, 0]], axis=1), -6.0, 6.0)
    inputs = np.hstack([columns, TABLE[sparse[:, 1]]])
    hidden = np.maximum(inputs @ LAYERS[0].weight + LAYERS[0].bias, 0.0)
    want = hidden @ LAYERS[1].weight + LAYERS[1].bias
    got = _ranker().logits(dense, sparse)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


DENSE, SPARSE = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.int64)


@pytest.mark.parametrize(
    ("dense", "sparse", "message"),
    [
        (DENSE.astype(np.float64), SPARSE, "dense is float64"),
        (DENSE, SPARSE[:3], r"sparse has shape \(3, 2\)"),
        (np.zeros((4, 2), np.float32), SPARSE, "columns of dense is 2"),
        (DENSE, np.zeros((4, 1), np.int64), "columns of sparse is 1"),
        (DENSE, SPARSE + 3, r"sparse is 3, must be in \[0, 2\]"),
        (DENSE, SPARSE - 1, "sparse is -1"),
        (DENSE[:, ::-1], SPARSE, "dense is float32, must be a row-major"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(
    dense: npt.NDArray[np.float32], sparse: npt.NDArray[np.int64], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        _ranker().logits(dense, sparse)


def test_layers_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="weight has shape"):
        SmallRanker(COLUMNS, 6.0, [SmallTable(1, TABLE)], [LAYERS[1], LAYERS[0]])
    with pytest.raises(InvalidArgumentError, match="layers is empty"):
        SmallRanker(COLUMNS, 6.0, [SmallTable(1, TABLE)], [])
