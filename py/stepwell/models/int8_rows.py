"""Tables of vectors as int8 rows with a scale each: a quarter of float32."""

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError

FloatArray = npt.NDArray[np.float32]
CodeArray = npt.NDArray[np.int8]

SCALE_SUFFIX = ".scale"
"""A file has a table as NAME, int8 [R, D], and NAME.scale, float32 [R]."""
_LIMIT = 127


def int8_rows(table: FloatArray) -> tuple[CodeArray, FloatArray]:
    """Returns codes int8 [R, D] and scales float32 [R] of a table float32 [R, D].

    A value is off by half of its row's scale at most, the row's largest / 254.
    """
    largest = np.abs(table).max(axis=1, initial=0.0)
    scales = (largest / _LIMIT).astype(np.float32)
    whole = np.rint(table / np.where(scales > 0, scales, 1.0)[:, None])
    return np.clip(whole, -_LIMIT, _LIMIT).astype(np.int8), scales


def float_rows(name: str, codes: npt.NDArray[np.generic], scales: object) -> FloatArray:
    """Returns the table float32 [R, D] that codes and scales stand for.

    Raises:
        DataLossError: another type or shape, or a scale that is negative or not finite.
    """
    fits = (
        codes.dtype == np.int8
        and codes.ndim == 2
        and isinstance(scales, np.ndarray)
        and scales.dtype == np.float32
        and scales.shape == codes.shape[:1]
        and bool(np.all((scales >= 0) & np.isfinite(scales)))
    )
    if not fits:
        raise DataLossError(f"{name} is no table of int8 rows with their scales")
    return codes.astype(np.float32) * np.asarray(scales, np.float32)[:, None]
