"""Many best-first lists become one, without duplicates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepwell.ops.rank_fusion import FusedList, fuse_ranks
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet, SourceResult
from stepwell.schema.vocabulary import RowArray

_EMPTY = SourceResult.empty()


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How lists share the places of the merged one.

    Attributes:
        weights: a source's say. An item's merged score is the sum over the sources that
            emit it of weight / (rank_offset + rank), ranks from 0.
        quotas: places that a source's first items have for certain, by name.
        rank_offset: how slowly a source's say falls along its list, > 0.

    Source: Cormack et al., SIGIR 2009 (reciprocal rank fusion). Scores of different
    sources are not comparable, their ranks are.
    """

    weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "history": 2.0,
            "co_occurrence": 1.0,
            "ann": 0.1,
            "trending": 0.1,
            "popular": 0.1,
            # Nobody has found them yet: their places come from the quota.
            "new_items": 0.0,
        }
    )
    quotas: Mapping[str, int] = field(
        default_factory=lambda: {
            "history": 100,
            "trending": 5,
            "popular": 20,
            "new_items": 10,
        }
    )
    rank_offset: float = 100.0

    def __post_init__(self) -> None:
        unknown = (set(self.weights) | set(self.quotas)) - set(SOURCE_NAMES)
        if unknown:
            raise ValueError(f"no such source: {', '.join(sorted(unknown))}")
        if self.rank_offset <= 0:
            raise ValueError(f"rank_offset is {self.rank_offset}, must be > 0")


def merge(
    results: Mapping[str, SourceResult],
    excluded_rows: RowArray,
    num_candidates: int,
    options: MergeOptions,
) -> CandidateSet:
    """Returns the merged candidates, best first.

    Args:
        results: what each source emitted, by name; absent sources count as empty.
        excluded_rows: int64 [X], never returned.
        num_candidates: candidates at most, >= 1.
        options: weights and quotas. Quotas hold while they fit together; the first
            sources of SOURCE_NAMES come first.
    Returns:
        CandidateSet: by merged score, ties by lower row; ranks are those in the
        source's list, excluded items counted.
    Cost: that of fuse_ranks.
    """
    lists = [
        FusedList(
            result.rows,
            result.scores,
            options.weights.get(name, 0.0),
            options.quotas.get(name, 0),
        )
        for name in SOURCE_NAMES
        for result in (results.get(name, _EMPTY),)
    ]
    fused = fuse_ranks(lists, options.rank_offset, num_candidates, excluded_rows)
    return CandidateSet(*fused)
