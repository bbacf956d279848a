"""What an experiment may change of a plan, and within which bounds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stepwell.base.errors import InvalidArgumentError
from stepwell.pipeline.candidate import SOURCE_NAMES

_SOURCE_PREFIX = "source_limits."
_MAX_WIDTH = 2_000

_WHOLE = {
    "ef_search": (1, _MAX_WIDTH),
    "num_candidates": (1, _MAX_WIDTH),
    **{f"{_SOURCE_PREFIX}{name}": (0, _MAX_WIDTH) for name in SOURCE_NAMES},
}
_REAL = {"diversity_lambda": (0.0, 1.0), "freshness_weight": (0.0, 10.0)}

OVERRIDABLE: Mapping[str, tuple[float, float]] = MappingProxyType({**_WHOLE, **_REAL})
"""Settings by name, lowest and highest value."""


@dataclass(frozen=True, slots=True)
class PlanOverrides:
    """Values that stand in for those of the tier FULL; None keeps the tier's own.

    Lower tiers stay as they are: they are what the server steps down to, and no
    experiment may make that dear.

    Attributes:
        source_limits: of the sources that it names; 0 does not ask one.
    """

    ef_search: int | None = None
    num_candidates: int | None = None
    diversity_lambda: float | None = None
    freshness_weight: float | None = None
    source_limits: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, float]) -> "PlanOverrides":
        """Returns the overrides of settings by name, such as source_limits.ann.

        Raises:
            InvalidArgumentError: a name is none of `OVERRIDABLE` or its value is out of
                range or not whole; the field is the name.
        """
        plain: dict[str, float] = {}
        limits: dict[str, int] = {}
        for name, value in values.items():
            checked = _checked(name, value)
            if name.startswith(_SOURCE_PREFIX):
                limits[name.removeprefix(_SOURCE_PREFIX)] = int(checked)
            else:
                plain[name] = checked
        return cls(source_limits=limits, **plain)  # type: ignore[arg-type]

    def values(self) -> dict[str, float]:
        """Returns what `of` made it from."""
        plain = {
            name: value
            for name in (*_WHOLE, *_REAL)
            if (value := getattr(self, name, None)) is not None
        }
        limits = {_SOURCE_PREFIX + name: n for name, n in self.source_limits.items()}
        return {**plain, **limits}


def _checked(name: str, value: float) -> float:
    if name not in OVERRIDABLE:
        raise InvalidArgumentError(
            f"{name!r} is no setting of an experiment, must be one of "
            f"{', '.join(OVERRIDABLE)}",
            name,
        )
    low, high = OVERRIDABLE[name]
    whole = name in _WHOLE
    if not (math.isfinite(value) and low <= value <= high) or (whole and value % 1):
        kind = "a whole number" if whole else "a number"
        raise InvalidArgumentError(
            f"is {value:g}, must be {kind} in [{low:g}, {high:g}]", name
        )
    return int(value) if whole else float(value)
