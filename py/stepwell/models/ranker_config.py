"""What a ranker is made of: columns, widths, objectives; one JSON file a release."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stepwell.base.errors import DataLossError, InvalidArgumentError, check_range

RANKER_CONFIG_NAME = "ranker_config.json"
FULL_RANKER_NAME = "full_ranker.safetensors"
REDUCED_RANKER_NAME = "reduced_ranker.safetensors"
FORMAT_VERSION = 1
MAX_COLUMNS = 1_024
TRANSFORMS = ("linear", "log1p")
DOT, CROSS = "dot", "cross"
INTERACTIONS = (DOT, CROSS)
MAX_CROSS_LAYERS = 16
CLIP = 6.0
"""Standard deviations beyond which an input says no more."""


def check_interaction(name: str) -> None:
    """Raises InvalidArgumentError unless `name` is one of INTERACTIONS."""
    if name not in INTERACTIONS:
        raise InvalidArgumentError(
            f"interaction is {name!r}, must be one of: {', '.join(INTERACTIONS)}",
            "interaction",
        )


@dataclass(frozen=True, slots=True)
class DenseColumn:
    """A dense input: clip((transform(x) - mean) / scale, -6, 6) enters the model.

    Attributes:
        name: the feature's name in the catalogue.
        transform: "linear", or "log1p" of max(x, 0) for what has a long tail.
        mean, scale: of the transformed training rows; scale > 0.
    """

    name: str
    transform: str
    mean: float
    scale: float

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise InvalidArgumentError(
                f"transform of {self.name} is {self.transform!r}, must be one of: "
                f"{', '.join(TRANSFORMS)}",
                "transform",
            )
        if not self.scale > 0:
            raise InvalidArgumentError(
                f"scale of {self.name} is {self.scale}, must be > 0", "scale"
            )


@dataclass(frozen=True, slots=True)
class SparseColumn:
    """A categorical input with an embedding table of `num_rows` rows; row 0 unknown."""

    name: str
    num_rows: int

    def __post_init__(self) -> None:
        if not 1 <= self.num_rows <= 1 << 31:
            raise InvalidArgumentError(
                f"num_rows of {self.name} is {self.num_rows}, must be in [1, 2^31]",
                "num_rows",
            )


@dataclass(frozen=True, slots=True)
class Objective:
    """What the model predicts, and its weight in the total score."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One ranker.

    Attributes:
        dense: F columns in the order of the model's input.
        sparse: T columns in the order of the model's input.
        embedding_dim: D of every table.
        bottom_widths: hidden widths of the MLP over the dense columns, at least one.
        top_widths: hidden widths of the MLP above the interaction.
        objectives: O outputs; total = sum of weight * probability.
        interaction: of the full ranker's vectors: "dot", the dots of all pairs (DLRM),
            or "cross", a cross network over all of them side by side (DCN-v2).
        cross_layers, cross_rank: of the cross network; of no meaning for "dot".
            Layers in [1, MAX_CROSS_LAYERS]; a rank is a width.
    """

    dense: tuple[DenseColumn, ...]
    sparse: tuple[SparseColumn, ...]
    embedding_dim: int
    bottom_widths: tuple[int, ...]
    top_widths: tuple[int, ...]
    objectives: tuple[Objective, ...]
    interaction: str = DOT
    cross_layers: int = 2
    cross_rank: int = 16

    def __post_init__(self) -> None:
        check_interaction(self.interaction)
        check_range("cross_layers", self.cross_layers, 1, MAX_CROSS_LAYERS)
        for name, columns in (("dense", self.dense), ("objectives", self.objectives)):
            if not 1 <= len(columns) <= MAX_COLUMNS:
                raise InvalidArgumentError(
                    f"{name} has {len(columns)} entries, must be in [1, {MAX_COLUMNS}]",
                    name,
                )
        widths = (*self.bottom_widths, *self.top_widths)
        for width in (self.embedding_dim, self.cross_rank, *widths):
            if not 1 <= width <= 65_536:
                raise InvalidArgumentError(
                    f"a width is {width}, must be in [1, 65536]", "widths"
                )
        if not self.bottom_widths:
            raise InvalidArgumentError("bottom_widths is empty", "bottom_widths")

    @property
    def dense_names(self) -> tuple[str, ...]:
        """Names of the F dense columns."""
        return tuple(column.name for column in self.dense)

    @property
    def sparse_names(self) -> tuple[str, ...]:
        """Names of the T sparse columns."""
        return tuple(column.name for column in self.sparse)


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """All that scoring needs beside the weights.

    Attributes:
        affinity_columns: item categories for which a user's affinity is a feature; with
            them the catalogue's feature list is fixed.
        embedded_columns: item categories that have an embedding table.
        feature_schema_hash: of the catalogue on which the models were trained.
        full, reduced: the two models.
        views: the views of stored rows whose features they take; files from before
            there were any have none.
    """

    affinity_columns: tuple[str, ...]
    embedded_columns: tuple[str, ...]
    feature_schema_hash: str
    full: ModelConfig
    reduced: ModelConfig
    views: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Writes `ranker_config.json` into a folder of artifacts."""
        document = {"format_version": FORMAT_VERSION, **asdict(self)}
        text = json.dumps(document, indent=1, allow_nan=False)
        (folder / RANKER_CONFIG_NAME).write_text(text + "\n")

    @classmethod
    def load(cls, folder: Path) -> "RankerConfig":
        """Reads what `save` wrote.

        Raises:
            DataLossError: no JSON, another version, or a field that is missing, unknown
                or out of range.
        """
        path = folder / RANKER_CONFIG_NAME
        try:
            document = json.loads(path.read_text())
            version = document.pop("format_version")
            if version != FORMAT_VERSION:
                raise DataLossError(
                    f"{path}: format_version is {version}, must be {FORMAT_VERSION}"
                )
            document["full"] = _model(document["full"])
            document["reduced"] = _model(document["reduced"])
            document.setdefault("views", [])
            for name in ("affinity_columns", "embedded_columns", "views"):
                document[name] = tuple(document[name])
            return cls(**document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataLossError(f"{path}: not a ranker config: {error}") from error


def _model(document: dict[str, Any]) -> ModelConfig:
    return ModelConfig(
        dense=tuple(DenseColumn(**entry) for entry in document.pop("dense")),
        sparse=tuple(SparseColumn(**entry) for entry in document.pop("sparse")),
        bottom_widths=tuple(document.pop("bottom_widths")),
        top_widths=tuple(document.pop("top_widths")),
        objectives=tuple(Objective(**entry) for entry in document.pop("objectives")),
        **document,
    )
