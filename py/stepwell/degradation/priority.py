"""Who goes first among those who wait."""

import enum


class Priority(enum.IntEnum):
    """Which request goes first; a lower number goes first."""

    INTERACTIVE = 0
    """A person is waiting."""
    PREFETCH = 1
    """A person will probably ask soon."""
    BATCH = 2
    """Nobody is waiting."""

    @property
    def label(self) -> str:
        """Lower-case name for metrics."""
        return self.name.lower()
