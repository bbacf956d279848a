"""One place of some slates for a new item, drawn at random: else it is never clicked.

What nobody has been shown has no clicks to learn from, and is not shown. The draw hangs
on the request's id alone, so that a replay draws the same; the probability of what was
shown is kept with the slate, so that training can weigh it.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import check_range
from stepwell.pipeline.candidate import (
    SOURCE_NAMES,
    CandidateSet,
    DrawnPlace,
    RankedSet,
)
from stepwell.pipeline.query import Query, UserContext
from stepwell.reranking.policy_filter import PolicyFilter
from stepwell.reranking.seen_filter import SeenFilter
from stepwell.schema.vocabulary import RowArray

_MILLION = 1_000_000
_WORD_BITS = 64
_SALT = b"exploration"
_NEW_ITEMS = SOURCE_NAMES.index("new_items")


@dataclass(frozen=True, slots=True)
class ExplorationOptions:
    """When a place is drawn for.

    Attributes:
        slot_share_ppm: of the requests, parts per million; 0 never draws.
        position: the place, from 1; a shorter slate is left as it is.
    """

    slot_share_ppm: int = 0
    position: int = 5

    def __post_init__(self) -> None:
        check_range("slot_share_ppm", self.slot_share_ppm, 0, _MILLION)
        check_range("position", self.position, 1, 500)


class Exploration:
    """Gives one place of a share of the slates to a new item, each equally likely.

    The items are the release's new ones that pass policy, that the user may see, and
    that the slate does not have. With share p and M of them, an item that was drawn
    stands there with probability p / M, and the item whose place it is with 1 - p. With
    none of them nothing is drawn, and every item is certain of its place.

    Args:
        new_rows: the release's new items.
        policy, seen: the filters of the stage.
        options: how often, and where.

    Concurrency: immutable. Cost: nothing when off, else about 20 us.
    """

    def __init__(
        self,
        new_rows: RowArray,
        policy: PolicyFilter,
        seen: SeenFilter,
        options: ExplorationOptions,
    ) -> None:
        self._rows = np.unique(new_rows).astype(np.int64)
        self._policy = policy
        self._seen = seen
        self._share_ppm = options.slot_share_ppm
        self._place = options.position - 1

    def shown(
        self, query: Query, user: UserContext, ranked: RankedSet, slate: RankedSet
    ) -> RankedSet:
        """Returns the slate as it is to be shown, with what was drawn for.

        Args:
            ranked: all that was scored; a new item among it has its score.
            slate: from top to bottom. A Rank call's is left as it is: its caller named
                the candidates.
        """
        given = query.given_rows is not None
        if not self._share_ppm or given or len(slate) <= self._place:
            return slate
        rows = self._eligible(query, user, slate)
        if not len(rows):
            return slate
        share = self._share_ppm / _MILLION
        chance, which = _draws(query.request_id)
        if chance * _MILLION >> _WORD_BITS >= self._share_ppm:
            kept = DrawnPlace(self._place, 1.0 - share, is_explored=False)
            return replace(slate, drawn=kept)
        row = int(rows[which * len(rows) >> _WORD_BITS])
        drawn = DrawnPlace(self._place, share / len(rows), is_explored=True)
        return replace(_with(slate, self._place, _entry(ranked, row)), drawn=drawn)

    def _eligible(self, query: Query, user: UserContext, slate: RankedSet) -> RowArray:
        rows = self._rows[self._policy.allowed(self._rows)]
        rows = rows[self._seen.unseen(query, user, rows)]
        return rows[~np.isin(rows, slate.candidates.rows)]


def _draws(request_id: str) -> tuple[int, int]:
    """Two numbers of 64 bits."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=16, salt=_SALT).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _entry(ranked: RankedSet, row: int) -> RankedSet:
    """The item as it was scored; with score 0 where no source has found it."""
    at = np.flatnonzero(ranked.candidates.rows == row)
    if len(at):
        return ranked.taken(at)
    candidates = CandidateSet.of_rows(np.array([row], np.int64))
    candidates.source_ranks[:, _NEW_ITEMS] = 0
    objectives = np.zeros((1, ranked.objectives.shape[1]), np.float32)
    return RankedSet(
        candidates, np.zeros(1, np.float32), objectives, np.full(1, -1, np.int64)
    )


def _with(slate: RankedSet, place: int, entry: RankedSet) -> RankedSet:
    """The slate with another item at one place."""
    at = np.arange(len(slate))
    places = at if slate.places is None else slate.places
    own = entry.places
    assert own is not None
    found = slate.candidates
    return RankedSet(
        CandidateSet(
            _put(found.rows, place, entry.candidates.rows[0]),
            _put(found.source_scores, place, entry.candidates.source_scores[0]),
            _put(found.source_ranks, place, entry.candidates.source_ranks[0]),
        ),
        _put(slate.scores, place, entry.scores[0]),
        _put(slate.objectives, place, entry.objectives[0]),
        _put(places, place, own[0]),
    )


def _put(values: npt.NDArray[Any], place: int, value: object) -> npt.NDArray[Any]:
    changed = values.copy()
    changed[place] = value
    return changed
