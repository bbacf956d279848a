"""Items under consideration, in columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.schema.vocabulary import RowArray

FEATURE_SOURCES = ("history", "co_occurrence", "ann", "trending", "popular")
"""The candidate sources whose scores and ranks are features of the rankers."""

SOURCE_NAMES = (*FEATURE_SOURCES, "new_items")
"""The candidate sources; a source's place is its column S in a CandidateSet."""

INDEX_SOURCE = "ann"
"""The source that searches the vector index."""

ScoreArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What one source emits: item rows int64 [n], unique, and scores float32 [n].

    Best first, ties by lower row. Scores of different sources are not comparable.
    `coverage` is below 1 where a part of what the source searches did not answer.
    """

    rows: RowArray
    scores: ScoreArray
    coverage: float = 1.0

    @classmethod
    def empty(cls) -> "SourceResult":
        """No candidates."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """The merged candidates of one request.

    Attributes:
        rows: int64 [N], unique.
        source_scores: float32 [N, S], 0 where the source did not emit the item.
        source_ranks: int16 [N, S], 0-based rank in the source, -1 where absent.
    """

    rows: RowArray
    source_scores: ScoreArray
    source_ranks: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of_rows(cls, rows: RowArray) -> "CandidateSet":
        """Candidates that no source emitted, such as those of a Rank call."""
        shape = (len(rows), len(SOURCE_NAMES))
        return cls(rows, np.zeros(shape, np.float32), np.full(shape, -1, np.int16))

    def taken(self, positions: npt.NDArray[np.int64]) -> "CandidateSet":
        """The candidates at `positions` int64 [M], in that order."""
        return CandidateSet(
            self.rows[positions],
            # `take` copies whole rows: a third of the time of an index.
            self.source_scores.take(positions, axis=0),
            self.source_ranks.take(positions, axis=0),
        )


@dataclass(frozen=True, slots=True)
class DrawnPlace:
    """The one place of a slate that chance decided; all others are certain.

    Attributes:
        place: from 0.
        propensity: probability that the item that is there was shown there.
        is_explored: it is there by chance, not by its score.
    """

    place: int
    propensity: float
    is_explored: bool


@dataclass(frozen=True, slots=True)
class RankedSet:
    """Scored candidates, best first: what re-rankers take and return.

    Attributes:
        candidates: N candidates in the order of the slate to be.
        scores: float32 [N], the scorer's total of each, in that order.
        objectives: float32 [N, O], in that order.
        places: int64 [N], the place of each among those that were scored, -1 for one
            that was not; None when these are they.
        drawn: the place that chance decided, in a slate; None when none is.
    """

    candidates: CandidateSet
    scores: ScoreArray
    objectives: npt.NDArray[np.float32]
    places: npt.NDArray[np.int64] | None = None
    drawn: DrawnPlace | None = None

    def __len__(self) -> int:
        return len(self.candidates)

    def taken(self, positions: npt.NDArray[np.int64]) -> "RankedSet":
        """The entries at `positions` int64 [M], in that order."""
        return RankedSet(
            self.candidates.taken(positions),
            self.scores[positions],
            self.objectives.take(positions, axis=0),
            positions if self.places is None else self.places[positions],
        )
