"""What the pipeline hands back: the slate and how it came about."""

from dataclasses import dataclass, field
from typing import Protocol

from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.query import FeatureBatch, Query, UserContext


@dataclass(frozen=True, slots=True)
class Computed:
    """What a slate was computed from, for those who log it or compute it again.

    Attributes:
        retrieved: the tier whose plan retrieval had; a stage that was late afterwards
            led to a lower one, which took the first of the candidates.
        scored: the tier whose scorer gave the scores; the slate's is that of its
            re-ranking.
        candidates: N candidates in the order in which they were scored.
        features: of these candidates.
    """

    retrieved: Tier
    scored: Tier
    candidates: CandidateSet
    features: FeatureBatch


@dataclass(frozen=True, slots=True)
class Slate:
    """One answer, still in rows of the release.

    Attributes:
        ranked: the entries from top to bottom.
        tier: the tier that made it; lower than asked for when a stage was late.
        reasons: why it is not a plain FULL answer, each once, in order of occurrence.
        objective_names: names of the columns of `ranked.objectives`.
        coverage: share of the asked sources that answered, 0..1; a source in shards
            counts with the share of its items whose shard did.
        stage_us: microseconds spent in each stage that ran, by name.
        user: what was known of the user; None when no store was asked.
        source_failures: sources that failed open, name -> error.
        cached_age_us: age of the cached slate that was served, None when none was.
        searched_index: the vector index took part in the candidates.
        computed: what the stages worked on; None when the slate came from memory.
    """

    ranked: RankedSet
    tier: Tier
    reasons: tuple[Reason, ...] = ()
    objective_names: tuple[str, ...] = ()
    coverage: float = 1.0
    stage_us: dict[str, int] = field(default_factory=dict)
    user: UserContext | None = None
    source_failures: dict[str, str] = field(default_factory=dict)
    cached_age_us: int | None = None
    searched_index: bool = False
    computed: Computed | None = None


@dataclass(frozen=True, slots=True)
class PopularSlate:
    """What is served without any stage: a cached or a popular list, policy-filtered."""

    ranked: RankedSet
    cached_age_us: int | None


class PopularSlates(Protocol):
    """Answers from memory only: no store, no model, no index."""

    def slate(self, query: Query) -> PopularSlate:
        """Returns at most `query.num_items` entries; at most 1 ms."""
        ...
