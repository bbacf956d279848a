"""From a decided call to the query that the stages of one release run."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from stepwell.base.clock import Clock
from stepwell.base.deadline import Deadline
from stepwell.degradation.controller import Arrival
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier_policy import TierDecision
from stepwell.experiments.assigner import Assignment
from stepwell.features.request_features import request_rows
from stepwell.pipeline.overrides import PlanOverrides
from stepwell.pipeline.query import Query
from stepwell.schema.vocabulary import RowArray
from stepwell.serving.call import Call
from stepwell.serving.engine import Engine

_NO_ROWS: RowArray = np.zeros(0, np.int64)
_NO_ARMS: Assignment[PlanOverrides] = Assignment()


class Experiments(Protocol):
    """Who is in which arm."""

    def assign(self, user_id: str, /) -> Assignment[PlanOverrides]:
        """Returns the user's arms and what they change."""
        ...


class QueryMaker:
    """Makes queries.

    Args:
        budget_us: microseconds a request should take from arrival to answer.
        is_replayable: whether all that the request of a draw reads is logged.
        clock: event time.
        experiments: that run; None where there are none.

    Concurrency: called from every worker.
    """

    def __init__(
        self,
        budget_us: Callable[[Arrival], int],
        is_replayable: Callable[[int], bool],
        clock: Clock,
        experiments: Experiments | None = None,
    ) -> None:
        self._budget_us = budget_us
        self._is_replayable = is_replayable
        self._clock = clock
        self._experiments = experiments

    def __call__(
        self, call: Call, decision: TierDecision, engine: Engine
    ) -> tuple[Query, tuple[str, ...]]:
        """Returns the query, and the ids of a Rank call that the release lacks."""
        given: RowArray | None = None
        unknown: tuple[str, ...] = ()
        if call.given_item_ids is not None:
            given, unknown = engine.known_rows(call.given_item_ids)
        excluded = _NO_ROWS
        if call.excluded_item_ids:
            excluded, _ = engine.known_rows(call.excluded_item_ids)
        arms = _NO_ARMS
        if self._experiments is not None:
            arms = self._experiments.assign(call.user_id)
        event_time = self._clock.event_seconds()
        query = Query(
            request_id=call.request_id,
            user_id=call.user_id,
            num_items=call.num_items,
            event_time=event_time,
            deadline=self._deadline(call, decision),
            excluded_rows=excluded,
            given_rows=given,
            surface=call.surface,
            explain=call.explain,
            is_cancelled=call.is_cancelled,
            is_replayable=self._is_replayable(call.arrival.request_draw),
            request_rows=request_rows(call.request_features, event_time),
            overrides=arms.treatment,
            exposures=arms.exposures,
        )
        return query, unknown

    def _deadline(self, call: Call, decision: TierDecision) -> Deadline:
        """The latency budget's end; a forced tier may take all of the deadline."""
        if Reason.FORCED in decision.reasons:
            return Deadline(self._clock, call.arrival.deadline_us)
        at_us = call.arrival.arrived_us + self._budget_us(call.arrival)
        return Deadline(self._clock, at_us)
