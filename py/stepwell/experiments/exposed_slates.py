"""What users of one experiment were shown and what they did with it, in columns."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import NotFoundError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

OUTCOMES = ("clicked_slates", "clicks", "purchases", "purchase_value")
"""Per slate: is an item clicked; items clicked; items bought; money for those."""

GUARDRAILS = {"full_tier": 1, "popular_tier": -1, "empty_slates": -1}
"""Shares of the slates that no experiment should move, 1 where higher is better."""


@dataclass(frozen=True, slots=True)
class ExposedSlates:
    """M slates shown to U users, each of whom was in one arm all the time.

    Attributes:
        arm_names: names, in no order that means anything.
        arms: int64 [U], places in `arm_names`.
        before: float64 [U, C], what was known of each before the experiment.
        users: int64 [M], 0 <= user < U.
        times: int64 [M], unix seconds.
        values: float64 [M] by name: `OUTCOMES` and `GUARDRAILS`.
        num_crossed: users left out, for they were seen in several arms.
    """

    arm_names: tuple[str, ...]
    arms: Ints
    before: Floats
    users: Ints
    times: Ints
    values: Mapping[str, Floats]
    num_crossed: int = 0

    def arm(self, name: str) -> npt.NDArray[np.bool_]:
        """Returns bool [U], the users of an arm.

        Raises:
            NotFoundError: nobody was seen in it.
        """
        if name not in self.arm_names:
            known = ", ".join(self.arm_names)
            raise NotFoundError(f"nobody was seen in arm {name!r}; arms are {known}")
        return np.equal(self.arms, self.arm_names.index(name))
