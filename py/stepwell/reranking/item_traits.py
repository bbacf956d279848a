"""What re-ranking knows of the items of a release."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.likeness import share_of_equal_codes
from stepwell.schema.vocabulary import RowArray

VectorArray = npt.NDArray[np.float32]
CodeArray = npt.NDArray[np.int32]

UNKNOWN_CODE = 0
"""The code of an item whose value is not known; it resembles nothing."""

_CODES, _NAMES = "category/", "category_names/"


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """One property of the items: codes int32 [N] into `names`; 0 is unknown.

    `names` may be shorter than the codes: a code without a name has none.
    """

    codes: CodeArray
    names: tuple[str, ...] = ()


def categorical_columns(
    tensors: Mapping[str, npt.NDArray[Any]],
) -> dict[str, CategoricalColumn]:
    """Returns a release's category columns by name, of item_columns.safetensors."""
    columns = {}
    for key, codes in tensors.items():
        if key.startswith(_CODES):
            name = key.removeprefix(_CODES)
            names = _unpacked(tensors, f"{_NAMES}{name}")
            columns[name] = CategoricalColumn(codes.astype(np.int32), names)
    return columns


def _unpacked(tensors: Mapping[str, npt.NDArray[Any]], prefix: str) -> tuple[str, ...]:
    if f"{prefix}/offsets" not in tensors:
        return ()
    blob = tensors[f"{prefix}/bytes"].tobytes()
    offsets = tensors[f"{prefix}/offsets"].tolist()
    return tuple(blob[start:end].decode() for start, end in pairwise(offsets))


@dataclass(frozen=True, slots=True)
class ItemTraits:
    """Columns over the N items of a release; each may be absent. Immutable.

    Attributes:
        vectors: float32 [N, D], unit norm; None when there are none.
        categories: columns by name, such as department or brand.
        first_seen: int64 [N], unix seconds of an item's first event; None if unknown.
    """

    vectors: VectorArray | None = None
    categories: Mapping[str, CategoricalColumn] = field(default_factory=dict)
    first_seen: npt.NDArray[np.int64] | None = None
    # int32 [N, C]: the codes of one item lie side by side, for one gather a request.
    _lines: CodeArray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.vectors is None and self.categories:
            columns = [column.codes for column in self.categories.values()]
            lines = np.stack(columns, axis=1).astype(np.int32)
            object.__setattr__(self, "_lines", lines)

    def similarity(self, rows: RowArray) -> VectorArray | None:
        """Returns float32 [P, P] in [0, 1], how alike the items of `rows` are.

        Cosine of the vectors where there are any (negative counts as 0), else the share
        of equal categories. None when neither is known.
        Cost: P * P * D multiplications, about 0.1 ms at P = 100, D = 64; or P * P * C
            comparisons, about 10 us at C = 6.
        """
        if self.vectors is not None:
            chosen = self.vectors[rows]
            # A zero or broken vector resembles nothing.
            cosine = np.clip(chosen @ chosen.T, 0.0, 1.0)
            return np.asarray(np.nan_to_num(cosine, nan=0.0), np.float32)
        if self._lines is None:
            return None
        return share_of_equal_codes(self._lines[rows], UNKNOWN_CODE)

    def codes_of(self, name: str) -> CodeArray:
        """Returns the codes int32 [N] of the column of that name.

        Raises:
            InvalidArgumentError: there is none.
        """
        try:
            return self.categories[name].codes
        except KeyError:
            known = ", ".join(sorted(self.categories)) or "none"
            raise InvalidArgumentError(
                f"item column {name!r} does not exist; there are: {known}", name
            ) from None
