"""A request after validation, and what is known of its user."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stepwell.base.deadline import Deadline
from stepwell.base.errors import CancelledError
from stepwell.experiments.exposure import Exposure
from stepwell.pipeline.overrides import PlanOverrides
from stepwell.schema.feature_view import RowValues
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import RowArray

StoredRead = tuple[str, str, bytes | None]
"""View, key and packed row of one entity, None for no row."""


def _no_rows() -> RowArray:
    return np.zeros(0, np.int64)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Query:
    """One validated request. Concurrency: immutable.

    Attributes:
        request_id: names the answer in logs and feedback; unique.
        user_id: as the caller gave it.
        num_items: K, items wanted, 1 <= K <= 500.
        event_time: unix seconds; the "now" of every feature, never the wall clock.
        deadline: end of the whole request.
        excluded_rows: int64 [X], items never to show.
        given_rows: int64 [N] candidates of a Rank call; None lets retrieval find them.
        surface: where the slate is shown, "" when not said.
        explain: the answer carries each item's sources and objectives.
        is_cancelled: True once nobody waits for the answer; asked between stages and
            between sources, from the thread that works.
        request_rows: by view name the row of what is known of the request itself,
            such as the caller's clock.
        is_replayable: what the request read is logged with its answer: a stage that
            reads state which changes meanwhile keeps what it read.
        overrides: what experiments change of its plan; stages see the plan only.
        exposures: the arms that its user is in.
    """

    request_id: str
    user_id: str
    num_items: int
    event_time: int
    deadline: Deadline
    excluded_rows: RowArray = field(default_factory=_no_rows)
    given_rows: RowArray | None = None
    surface: str = ""
    explain: bool = False
    is_cancelled: Callable[[], bool] = _never
    is_replayable: bool = False
    request_rows: Mapping[str, RowValues] = field(default_factory=dict)
    overrides: PlanOverrides | None = None
    exposures: tuple[Exposure, ...] = ()

    def check_wanted(self) -> None:
        """Raises CancelledError when nobody waits for the answer any more."""
        if self.is_cancelled():
            raise CancelledError(f"request {self.request_id} was cancelled")


@dataclass(frozen=True, slots=True)
class UserContext:
    """What the features stage found out about the user, in rows of one release.

    Attributes:
        history: columns over H distinct items, most recent first.
        history_rows: int64 [H], item rows of `history.keys`; -1 where unknown.
        segment_row: row of the user's segment in the release, 0 is "unknown".
        is_cold: nothing is known of the user's behaviour.
        feature_age_ms: age of each view's row at `Query.event_time`, by view name.
        defaulted: views answered by their default or baseline, whose indicator of
            being missing is 1.
        stale: views whose row or writer is too old; all of them are defaulted too.
        writer_age_ms: how far behind the log each view's writer is, by view name.
        rows: by view name the fixed-size row as the view declares it, of those views
            whose row is there, of this schema and fresh, or a baseline.
        reads: everything that was read, as it was used: no row where the default was.
            Enough to repeat this request.
        drops_tier: a stale view declares that a lower tier answers without it.
    """

    user_id: str
    history: UserHistory
    history_rows: RowArray
    segment_row: int = 0
    is_cold: bool = False
    feature_age_ms: dict[str, int] = field(default_factory=dict)
    defaulted: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    writer_age_ms: dict[str, int] = field(default_factory=dict)
    rows: Mapping[str, RowValues] = field(default_factory=dict)
    reads: tuple[StoredRead, ...] = ()
    drops_tier: bool = False

    @classmethod
    def unknown(cls, user_id: str, defaulted: tuple[str, ...] = ()) -> "UserContext":
        """The context of a user of whom nothing is known."""
        history = UserHistory.empty()
        return cls(user_id, history, _no_rows(), is_cold=True, defaulted=defaulted)


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """Model inputs of N candidates.

    Attributes:
        dense: float32 [N, F], raw values in the catalogue's order, C-contiguous.
        sparse: int64 [N, T], rows of the categorical tables in the catalogue's order.
        item_rows: int64 [N], the candidates' rows in the release: what a scorer knows
            of an item beforehand is found by it. None where they are not known.
        item_state: structured [N], what was read of the candidates' columns that the
            stream updates; None without such columns, and unless the query is
            replayable.
        item_state_offset: of the event log, up to which events are in `item_state`.
        defaulted: views of the request of which nothing was known.
    """

    dense: npt.NDArray[np.float32]
    sparse: npt.NDArray[np.int64]
    item_rows: RowArray | None = None
    item_state: npt.NDArray[np.void] | None = None
    item_state_offset: int = 0
    defaulted: tuple[str, ...] = ()

    def head(self, num_rows: int) -> "FeatureBatch":
        """Returns the inputs of the first `num_rows` candidates."""
        rows, state = self.item_rows, self.item_state
        return FeatureBatch(
            self.dense[:num_rows],
            self.sparse[:num_rows],
            None if rows is None else rows[:num_rows],
            None if state is None else state[:num_rows],
            self.item_state_offset,
            self.defaulted,
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says of N candidates.

    Attributes:
        total: float32 [N], the weighted sum of the objectives; non-finite values are
            already replaced by -inf, so that they sink.
        objectives: float32 [N, O], probabilities by objective.
        names: the O objectives' names.
    """

    total: npt.NDArray[np.float32]
    objectives: npt.NDArray[np.float32]
    names: tuple[str, ...] = ()
