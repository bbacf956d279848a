"""What is bought with what: a low-rank part and each item's strongest corrections."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.base.mapped_tensors import mapped_tensors
from stepwell.ops.co_occurrence import CoOccurrenceTable
from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.schema.vocabulary import RowArray

FloatArray = npt.NDArray[np.float32]

_ARRAYS = ("input_vectors", "output_vectors", "neighbour_rows", "neighbour_weights")


@dataclass(frozen=True, slots=True)
class CoOccurrenceModel:
    """Scores every item by a weighted history: (h A Z^T + h R) * affinity.

    The item-item matrix of EASE is dense; its D leading directions (A, Z) and, for each
    item, the K entries that they get most wrong (R) keep its quality in 1 % of its size
    (Complete Journey: new R@500 0.238 against 0.2355; the K largest alone 0.206).

    Attributes:
        input_vectors: float32 [N, D], A. D may be 0: neighbours alone.
        output_vectors: float32 [N, D], Z.
        neighbour_rows: int32 [N, K], -1 pads.
        neighbour_weights: float32 [N, K], 0 in pads; may be negative.
        affinity: lifts the categories the user buys in; None where items have none.

    Concurrency: immutable.
    Source: Steck, WWW 2019 (EASE); low rank + sparse after Steck & Liang, RecSys 2021.
    """

    input_vectors: FloatArray
    output_vectors: FloatArray
    neighbour_rows: npt.NDArray[np.int32]
    neighbour_weights: FloatArray
    affinity: CategoryAffinity | None = None

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.neighbour_rows)

    def table(self) -> CoOccurrenceTable:
        """Returns the model in the form that scores histories; borrows the arrays."""
        vectors = (self.input_vectors, self.output_vectors)
        neighbours = (self.neighbour_rows, self.neighbour_weights)
        lift = self.affinity.lift() if self.affinity is not None else None
        return CoOccurrenceTable(vectors, neighbours, lift)

    def scores(self, rows: RowArray, weights: FloatArray) -> FloatArray:
        """Returns float32 [N], the score of every item; 0 means no evidence.

        Args:
            rows: int64 [H], item rows; -1 is skipped.
            weights: float32 [H], what each says of the user.
        Cost: as CoOccurrenceTable's, and its checks of the whole model.
        """
        return self.table().scores(rows, weights)

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        tensors = {name: getattr(self, name) for name in _ARRAYS}
        if self.affinity is not None:
            tensors |= self.affinity.tensors()
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)

    @classmethod
    def load(cls, path: Path) -> "CoOccurrenceModel":
        """Reads what `save` wrote.

        Raises:
            DataLossError: a tensor is missing, shapes differ, or a row is out of range.
        """
        tensors = mapped_tensors(path)
        missing = set(_ARRAYS) - set(tensors)
        if missing:
            raise DataLossError(f"{path}: lacks {', '.join(sorted(missing))}")
        affinity = CategoryAffinity.of_tensors(tensors, len(tensors["input_vectors"]))
        arrays = {name: tensors[name] for name in _ARRAYS}
        model = cls(**arrays, affinity=affinity)
        near, num_items = model.neighbour_rows, model.num_items
        fits = (
            near.shape == model.neighbour_weights.shape
            and model.input_vectors.shape == model.output_vectors.shape
            and len(model.input_vectors) == num_items
        )
        if not fits:
            raise DataLossError(f"{path}: shapes of the co-occurrence model differ")
        if near.size and not (near.min() >= -1 and near.max() < num_items):
            raise DataLossError(f"{path}: a neighbour is not in [-1, {num_items})")
        return model
