"""From a decided call to its response: one borrow of one release, start to end."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stepwell.base.clock import Clock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.degradation.controller import Arrival
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierDecision
from stepwell.feedback.shown_slate import ShownSlate
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.releases.handle import ReleaseHandle
from stepwell.schema.vocabulary import RowArray
from stepwell.serving.answer_metrics import AnswerMetrics
from stepwell.serving.call import WIRE_OF_REASON, WIRE_OF_TIER, Call
from stepwell.serving.engine import Engine
from stepwell.serving.responses import (
    Account,
    ReleaseFacts,
    rank_response,
    recommend_response,
)

_NO_ROWS: RowArray = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Answered:
    """A serialized response, and the tier it names."""

    response: bytes
    tier: Tier


class Answering:
    """Answers calls at the tier that was decided for them.

    Args:
        borrow: lends the live release's engine.
        budget_us: microseconds a request should take from arrival to answer.
        shown: takes note of what was shown; returns at once and never raises.
        clock: monotonic and event time.
        metrics: tiers, reasons and stage times.

    Concurrency: called from every worker.
    """

    def __init__(
        self,
        borrow: Callable[[], ReleaseHandle[Engine]],
        budget_us: Callable[[Arrival], int],
        shown: Callable[[ShownSlate], None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._borrow = borrow
        self._budget_us = budget_us
        self._shown = shown
        self._clock = clock
        self._metrics = AnswerMetrics(metrics, clock)

    def __call__(self, call: Call, decision: TierDecision, queue_us: int) -> Answered:
        """Returns the serialized response; errors are the engine's."""
        assert decision.tier is not None
        with self._borrow() as release:
            engine = release.content
            query, unknown = self._query(call, decision, engine)
            slate = engine.recommend(query, decision.tier)
            server_us = self._clock.monotonic_us() - call.arrival.arrived_us
            reasons = _merged(decision.reasons, slate.reasons)
            account = Account(reasons, queue_us, server_us, query.event_time)
            facts = engine.facts
            if call.given_item_ids is None:
                response = recommend_response(call, slate, facts, account)
            else:
                response = rank_response(call, slate, unknown, facts, account)
            self._metrics.count(slate, reasons, server_us)
            self._shown(_shown_slate(query, slate, facts, reasons))
            return Answered(response, slate.tier)

    def _query(
        self, call: Call, decision: TierDecision, engine: Engine
    ) -> tuple[Query, tuple[str, ...]]:
        given: RowArray | None = None
        unknown: tuple[str, ...] = ()
        if call.given_item_ids is not None:
            given, unknown = engine.known_rows(call.given_item_ids)
        excluded = _NO_ROWS
        if call.excluded_item_ids:
            excluded, _ = engine.known_rows(call.excluded_item_ids)
        query = Query(
            request_id=call.request_id,
            user_id=call.user_id,
            num_items=call.num_items,
            event_time=self._clock.event_seconds(),
            deadline=self._deadline(call, decision),
            excluded_rows=excluded,
            given_rows=given,
            surface=call.surface,
            explain=call.explain,
            is_cancelled=call.is_cancelled,
        )
        return query, unknown

    def _deadline(self, call: Call, decision: TierDecision) -> Deadline:
        """The latency budget's end; a forced tier may take all of the deadline."""
        if Reason.FORCED in decision.reasons:
            return Deadline(self._clock, call.arrival.deadline_us)
        at_us = call.arrival.arrived_us + self._budget_us(call.arrival)
        return Deadline(self._clock, at_us)


def _shown_slate(
    query: Query, slate: Slate, facts: ReleaseFacts, reasons: tuple[Reason, ...]
) -> ShownSlate:
    rows = slate.ranked.candidates.rows.tolist()
    return ShownSlate(
        request_id=query.request_id,
        user_id=query.user_id,
        event_time_seconds=query.event_time,
        surface=query.surface,
        tier=WIRE_OF_TIER[slate.tier],
        reasons=tuple([WIRE_OF_REASON[reason] for reason in reasons]),
        release_id=facts.release_id,
        item_ids=tuple([facts.labels.of_row(row).item_id for row in rows]),
        scores=slate.ranked.scores,
    )


def _merged(
    decided: tuple[Reason, ...], happened: tuple[Reason, ...]
) -> tuple[Reason, ...]:
    if not happened or not decided:
        return decided or happened
    return tuple(dict.fromkeys((*decided, *happened)))
