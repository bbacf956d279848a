"""A deadline: one absolute point in monotonic time, shared by all stages."""

from dataclasses import dataclass

from stepwell.base.clock import Clock
from stepwell.base.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Deadline:
    """Absolute end of a request in microseconds of `clock.monotonic_us()`.

    Concurrency: immutable. Cost of `remaining_us`: one clock read, about 0.1 us.
    """

    clock: Clock
    at_us: int

    @classmethod
    def after_us(cls, clock: Clock, budget_us: int) -> "Deadline":
        """The deadline `budget_us` microseconds from now."""
        return cls(clock, clock.monotonic_us() + budget_us)

    def remaining_us(self) -> int:
        """Microseconds left; negative once the deadline has passed."""
        return self.at_us - self.clock.monotonic_us()

    def expired(self) -> bool:
        """True when nothing is left."""
        return self.remaining_us() <= 0

    def sooner_us(self, budget_us: int) -> "Deadline":
        """The earlier of this deadline and `budget_us` from now: a stage's share."""
        return Deadline(
            self.clock, min(self.at_us, self.clock.monotonic_us() + budget_us)
        )

    def check(self, stage: str) -> None:
        """Raises DeadlineExceededError naming the stage when nothing is left."""
        remaining = self.remaining_us()
        if remaining <= 0:
            raise DeadlineExceededError(f"{stage}: deadline passed {-remaining} us ago")
