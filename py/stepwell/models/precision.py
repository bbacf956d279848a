"""The precisions of a ranker's products, and what they take; imports no torch."""

from typing import Literal, get_args

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.processor import (
    AMX_BF16,
    AVX512_BF16,
    AVX512_VNNI,
    processor_flags,
)

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

DEFAULT_PRECISION: Precision = "bfloat16"
"""Of a server: fused, and of float32's quality to three digits (docs/quality.md)."""


def check_precision(name: str) -> None:
    """Raises InvalidArgumentError unless `name` is one of PRECISIONS."""
    if name not in PRECISIONS:
        raise InvalidArgumentError(
            f"precision is {name!r}, must be one of: {', '.join(PRECISIONS)}",
            "precision",
        )


def missing_instructions(precision: Precision) -> str:
    """Returns what a precision takes that this processor has not, "" if nothing.

    bfloat16 needs AVX512-BF16 or AMX, int8 AVX512-VNNI and bfloat16 besides; without
    them torch emulates bfloat16 slower than float32, and int8 sums may saturate.
    """
    if precision == "float32":
        return ""
    flags = processor_flags()
    if not flags & {AVX512_BF16, AMX_BF16}:
        return "AVX512-BF16"
    if precision == "int8" and AVX512_VNNI not in flags:
        return "AVX512-VNNI"
    return ""
