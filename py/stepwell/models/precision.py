"""The precisions of a ranker's products by name; imports no torch."""

from typing import Literal, get_args

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

DEFAULT_PRECISION: Precision = "bfloat16"
"""Of a server: fused, and of float32's quality to three digits (docs/quality.md)."""
