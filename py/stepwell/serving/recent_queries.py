"""The last questions that callers asked: what a new release is warmed up with."""

from collections import deque
from dataclasses import dataclass

from stepwell.pipeline.query import Query

NUM_KEPT = 32


@dataclass(frozen=True, slots=True)
class RecentQuery:
    """What of a question makes its work: who asked, for how many, and where."""

    user_id: str
    num_items: int
    surface: str


class RecentQueries:
    """The newest questions of a process, whichever release answered them.

    Concurrency: thread-safe. Cost of a note: about 0.4 us.
    """

    def __init__(self) -> None:
        self._kept: deque[RecentQuery] = deque(maxlen=NUM_KEPT)

    def note(self, query: Query) -> None:
        """Remembers a question about the whole catalogue; those of others are not."""
        if query.given_rows is None:
            kept = RecentQuery(query.user_id, query.num_items, query.surface)
            self._kept.append(kept)

    def newest(self) -> tuple[RecentQuery, ...]:
        """Returns them, newest first."""
        return tuple(reversed(self._kept.copy()))
