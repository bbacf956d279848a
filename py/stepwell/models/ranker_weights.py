"""The weights of the full ranker in numpy, without the model that trained them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from stepwell.models.ranker_config import ModelConfig
from stepwell.models.ranker_tensors import (
    Shapes,
    Tensors,
    check_tensors,
    column_shapes,
    linear_shapes,
    mlp_layers,
    mlp_shapes,
    read_tensors,
)

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LinearWeights:
    """A linear layer: weight float32 [out, in], bias float32 [out]."""

    weight: FloatArray
    bias: FloatArray


@dataclass(frozen=True, slots=True)
class RankerWeights:
    """What a `Dlrm` with dots has learnt.

    Attributes:
        config: of the ranker; its interaction is DOT.
        tensors: by their names in the model's state; float32, "inputs.is_log" bool.
    """

    config: ModelConfig
    tensors: Tensors

    @classmethod
    def load(cls, config: ModelConfig, path: Path) -> Self:
        """Reads what `save_weights` wrote.

        Raises:
            DataLossError: unreadable, a tensor missing, unknown, of another shape or
                dtype, or a value that is not finite.
        """
        tensors = read_tensors(path)
        check_tensors(path, tensors, dot_ranker_shapes(config))
        return cls(config, tensors)

    @property
    def bottom(self) -> list[LinearWeights]:
        """Layers over the dense columns, in order."""
        return self._mlp("bottom", len(self.config.bottom_widths))

    @property
    def top(self) -> list[LinearWeights]:
        """Layers above the interaction, in order, without the last."""
        return self._mlp("top", len(self.config.top_widths))

    def linear(self, name: str) -> LinearWeights:
        """Returns the layer of a name: "projection" or "output"."""
        return LinearWeights(
            self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        )

    def table(self, place: int) -> FloatArray:
        """Returns float32 [rows, D]: the table of a sparse column."""
        table: FloatArray = self.tensors[f"tables.{place}"]
        return table

    def _mlp(self, name: str, num_layers: int) -> list[LinearWeights]:
        return [self.linear(layer) for layer in mlp_layers(name, num_layers)]


def dot_ranker_shapes(config: ModelConfig) -> Shapes:
    """Returns the shape of every tensor of a `Dlrm` with dots, by name."""
    hidden, dim = config.bottom_widths[-1], config.embedding_dim
    num_vectors = len(config.sparse) + 1
    num_dots = num_vectors * (num_vectors - 1) // 2
    top = (hidden + dim + num_dots, *config.top_widths)
    return {
        **column_shapes(config),
        **mlp_shapes("bottom", (len(config.dense), *config.bottom_widths)),
        **linear_shapes("projection", hidden, dim),
        **mlp_shapes("top", top),
        **linear_shapes("output", top[-1], len(config.objectives)),
    }
