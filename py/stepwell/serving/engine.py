"""One release, assembled: asks the executor and remembers what it answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepwell.base.clock import Clock
from stepwell.degradation.slate_cache import CachedSlate, SlateCache
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost
from stepwell.pipeline.executor import Executor
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.schema.vocabulary import RowArray
from stepwell.serving.recent_queries import RecentQueries
from stepwell.serving.responses import ReleaseFacts


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that answers from one release; lives and dies with it.

    Attributes:
        facts: what answers say about the release.
        executor: runs the stages.
        slates: last slates of this release's users.
        card_costs: measured cost of each tier.
        clock: monotonic time, for the age of slates.
        recent: takes note of the questions; None keeps none.

    Concurrency: thread-safe.
    """

    facts: ReleaseFacts
    executor: Executor
    slates: SlateCache
    card_costs: Mapping[Tier, TierCost]
    clock: Clock
    recent: RecentQueries | None = None

    def recommend(self, query: Query, tier: Tier) -> Slate:
        """Returns the slate of a query at `tier` or a lower one.

        A slate that stages made is remembered, so that POPULAR can serve it again; one
        of given candidates is not, for it says nothing of the whole catalogue; nor one
        with an item that chance put there, which it would repeat as if it were certain.
        """
        slate = self.executor.run(query, tier)
        if self.recent is not None:
            self.recent.note(query)
        if slate.tier > Tier.POPULAR and query.given_rows is None and len(slate.ranked):
            drawn = slate.ranked.drawn
            if drawn is None or not drawn.is_explored:
                self._remember(query.user_id, slate)
        return slate

    def known_rows(self, item_ids: Sequence[str]) -> tuple[RowArray, tuple[str, ...]]:
        """Returns the rows of the known ids, in order, and the ids that are unknown."""
        rows = self.facts.vocabulary.rows_of_ids(item_ids)
        unknown = tuple(
            item_id for item_id, row in zip(item_ids, rows, strict=True) if row < 0
        )
        return rows[rows >= 0], unknown

    def close(self) -> None:
        """Forgets the slates. Nobody asks any more; the rest goes with the object."""
        self.slates.clear()

    def _remember(self, user_id: str, slate: Slate) -> None:
        user = slate.user
        cached = CachedSlate(
            rows=slate.ranked.candidates.rows,
            scores=slate.ranked.scores,
            segment_row=user.segment_row if user is not None else 0,
            made_us=self.clock.monotonic_us(),
        )
        self.slates.put(user_id, cached)
