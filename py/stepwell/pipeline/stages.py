"""The contracts of stages. A stage reads its plan fields, never the tier.

Concurrency: every stage is called from one worker thread at a time per request and may
be called by several workers at once; implementations hold no per-request state.
"""

from dataclasses import dataclass, field
from typing import Protocol

from stepwell.base.deadline import Deadline
from stepwell.pipeline.candidate import CandidateSet, RankedSet, SourceResult
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.query import FeatureBatch, Query, Scores, UserContext


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """How much one source may do.

    Attributes:
        limit: candidates wanted at most, >= 1.
        ef_search: width of a graph search (HNSW's ef); other sources ignore it.
        deadline: the source's own; past it, it returns what it has or raises
            DeadlineExceededError.
    """

    limit: int
    ef_search: int
    deadline: Deadline


class QueryHydrator(Protocol):
    """Finds out what is known of the user; missing or stale becomes a default."""

    def hydrate(self, query: Query, deadline: Deadline) -> UserContext:
        """Returns the user's context; raises nothing a default can answer."""
        ...


class CandidateSource(Protocol):
    """Emits candidates; its `name` is one of SOURCE_NAMES."""

    @property
    def name(self) -> str:
        """The source's name."""
        ...

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        """Returns at most `request.limit` unique rows, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The merged candidates, and what they lack.

    Attributes:
        failures: sources that failed open, name -> error.
        partial: sources of which only a part answered, name -> the share that did.
    """

    candidates: CandidateSet
    failures: dict[str, str]
    partial: dict[str, float] = field(default_factory=dict)


class Retriever(Protocol):
    """All sources and their merge: the retrieval stage."""

    def run(
        self, query: Query, user: UserContext, plan: ExecutionPlan, deadline: Deadline
    ) -> Retrieved:
        """Returns at most `plan.num_candidates` candidates without excluded rows."""
        ...


class CandidateHydrator(Protocol):
    """Computes the model's inputs for every candidate."""

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        """Returns the features of the N candidates, in their order."""
        ...


class Scorer(Protocol):
    """Gives every candidate a score; non-finite ones sink to -inf."""

    def score(self, features: FeatureBatch, deadline: Deadline | None = None) -> Scores:
        """Returns scores in the order of the features' rows.

        A scorer that waits for others, to score them together, does so no longer than
        `deadline`, the stage's; None sets no limit.
        """
        ...


class Reranker(Protocol):
    """Turns ranked candidates into a slate: filters, diversity, back-fill."""

    def rerank(
        self, query: Query, user: UserContext, ranked: RankedSet, plan: ExecutionPlan
    ) -> RankedSet:
        """Returns at most `query.num_items` entries, the slate from top to bottom."""
        ...
