"""The steps of the ladder."""

import enum


class Tier(enum.IntEnum):
    """How much of the system an answer has the benefit of; FULL > REDUCED > POPULAR."""

    POPULAR = 1
    """Cached items; touches no store, no model and no index."""
    REDUCED = 2
    """The distilled model, fewer candidates, a narrower search."""
    FULL = 3
    """The full model over the full candidate set."""

    @property
    def label(self) -> str:
        """Lower-case name for metrics and files."""
        return self.name.lower()

    @property
    def below(self) -> "Tier":
        """The next tier down; POPULAR is its own."""
        return Tier(max(self - 1, Tier.POPULAR))

    @property
    def above(self) -> "Tier":
        """The next tier up; FULL is its own."""
        return Tier(min(self + 1, Tier.FULL))


BEST_FIRST = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)
"""All tiers, in the order in which they are tried."""
