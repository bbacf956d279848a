"""The user's side of the two-tower model, as a release holds it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.base.mapped_tensors import mapped_tensors
from stepwell.models.history_weights import AFFINITY_HALF_LIFE_SECONDS
from stepwell.ops.history_scores import pooled_rows
from stepwell.ops.user_vectors import TowerLayers, UserVectors
from stepwell.schema.vocabulary import RowArray

FloatArray = npt.NDArray[np.float32]

_LAYERS = ("hidden_weight", "hidden_bias", "output_weight", "output_bias")


@dataclass(frozen=True, slots=True)
class UserTower:
    """Pools a history into the vector that searches the index of item vectors.

    Two blocks: `fixed` [D1] pools vectors that carry co-occurrence and are not trained
    further; `trained` [D2] passes the pooled, normalised vector through one residual
    layer. The user's vector is the first at unit length, then the second at length
    `gain`, then `gain` itself, which meets the item's popularity in the item vector.

    Attributes:
        fixed_vectors: float32 [N, D1], input side of every item.
        trained_vectors: float32 [N, D2].
        hidden_weight, hidden_bias: float32 [M, D2], [M].
        output_weight, output_bias: float32 [D2, M], [D2].
        gain: float32 [1], weight of the trained block.
        space_hash: uint8 [32], names the space: the index of another one is refused.

    Concurrency: immutable. Cost: that of UserVectors.of.
    Source: Covington et al., RecSys 2016 (pooled history); Yi et al., RecSys 2019.
    """

    fixed_vectors: FloatArray
    trained_vectors: FloatArray
    hidden_weight: FloatArray
    hidden_bias: FloatArray
    output_weight: FloatArray
    output_bias: FloatArray
    gain: FloatArray
    space_hash: npt.NDArray[np.uint8]

    @property
    def dim(self) -> int:
        """D, the length of a user's vector."""
        return int(self.fixed_vectors.shape[1] + self.trained_vectors.shape[1] + 1)

    def vectors(self) -> UserVectors:
        """Returns the tower in the form that serves requests; borrows the arrays."""
        laid = {name: np.ascontiguousarray(getattr(self, name)) for name in _LAYERS}
        return UserVectors(
            np.ascontiguousarray(self.fixed_vectors),
            np.ascontiguousarray(self.trained_vectors),
            TowerLayers(**laid),
            float(self.gain[0]),
            AFFINITY_HALF_LIFE_SECONDS,
        )

    def pooled(self, rows: RowArray, weights: FloatArray) -> FloatArray:
        """Returns float32 [D] of rows int64 [H] (-1 skips) with weights float32 [H].

        In numpy: what `vectors` is held against.
        """
        fixed = _unit(pooled_rows(self.fixed_vectors, rows, weights))
        trained = _unit(pooled_rows(self.trained_vectors, rows, weights))
        hidden = np.maximum(self.hidden_weight @ trained + self.hidden_bias, 0.0)
        trained = _unit(trained + self.output_weight @ hidden + self.output_bias)
        blocks = [fixed, self.gain * trained, self.gain]
        return np.concatenate(blocks).astype(np.float32)

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        tensors = {name: getattr(self, name) for name in self.__slots__}
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)

    @classmethod
    def load(cls, path: Path) -> "UserTower":
        """Reads what `save` wrote.

        Raises:
            DataLossError: a tensor is missing or shapes do not fit each other.
        """
        tensors = mapped_tensors(path)
        missing = set(cls.__slots__) - set(tensors)
        if missing:
            raise DataLossError(f"{path}: lacks {', '.join(sorted(missing))}")
        tower = cls(**{name: tensors[name] for name in cls.__slots__})
        d2, m = tower.trained_vectors.shape[1], len(tower.hidden_bias)
        fits = (
            len(tower.fixed_vectors) == len(tower.trained_vectors)
            and tower.hidden_weight.shape == (m, d2)
            and tower.output_weight.shape == (d2, m)
            and tower.output_bias.shape == (d2,)
            and tower.gain.shape == (1,)
            and tower.space_hash.shape == (32,)
        )
        if not fits:
            raise DataLossError(f"{path}: shapes of the user tower do not fit")
        return tower


def _unit(vector: FloatArray) -> FloatArray:
    norm = float(np.sqrt(vector @ vector))
    return vector / norm if norm > 0 else vector
