"""From a decided call to its response: one borrow of one release, start to end."""

from dataclasses import dataclass, replace

from stepwell.base.clock import Clock
from stepwell.base.metrics import Metrics
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierDecision
from stepwell.releases.handle import Release
from stepwell.serving.answer_metrics import AnswerMetrics
from stepwell.serving.call import Call
from stepwell.serving.canary_trial import CanaryFailedError, CanaryTrial
from stepwell.serving.engine import Engine
from stepwell.serving.query_maker import QueryMaker
from stepwell.serving.responses import Account, rank_response, recommend_response
from stepwell.serving.shown_slates import ShownSlates


@dataclass(frozen=True, slots=True)
class Answered:
    """A serialized response.

    Attributes:
        tier: that the response names.
        teaches: what it cost says what answers of its tier cost.
    """

    response: bytes
    tier: Tier
    teaches: bool = True


class Answering:
    """Answers calls at the tier that was decided for them.

    Args:
        trial: lends the release that answers, the canary's to its users.
        query_of: makes the query of a call.
        shown: takes note of what was shown.
        clock: monotonic time.
        metrics: tiers, reasons and stage times.

    Concurrency: called from every worker.
    """

    def __init__(
        self,
        trial: CanaryTrial,
        query_of: QueryMaker,
        shown: ShownSlates,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._trial = trial
        self._query_of = query_of
        self._shown = shown
        self._clock = clock
        self._metrics = AnswerMetrics(metrics, clock)

    def __call__(self, call: Call, decision: TierDecision, queue_us: int) -> Answered:
        """Returns the serialized response; errors are the engine's.

        Where a canary fails, the live release answers in what time is left.

        Raises:
            CanaryFailedError: none was left, and the ladder is to learn nothing of it.
        """
        with self._trial.borrow(call.user_id) as release:
            serial = release.manifest.serial
            try:
                return self._answered(release, call, decision, queue_us)
            except Exception as error:
                in_time = self._clock.monotonic_us() < call.arrival.deadline_us
                if not (in_time and self._trial.is_retried(serial, error)):
                    if self._trial.failed(serial, error):
                        raise
                    raise CanaryFailedError(error) from error
                # Without its frames: this one's among them would keep the releases.
                failure = error.with_traceback(None)
        with self._trial.borrow_live() as live:
            answered = self._answered(live, call, decision, queue_us)
        # Where live fails the same request, the canary is not to blame for it.
        self._trial.failed(serial, failure)
        return replace(answered, teaches=False)

    def _answered(
        self,
        release: Release[Engine],
        call: Call,
        decision: TierDecision,
        queue_us: int,
    ) -> Answered:
        assert decision.tier is not None
        engine = release.content
        query, unknown = self._query_of(call, decision, engine)
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
        self._shown.note(query, slate, facts, reasons, call.arrival.request_draw)
        teaches = self._trial.answered(release, call, query, slate, decision.tier)
        return Answered(response, slate.tier, teaches)


def _merged(
    decided: tuple[Reason, ...], happened: tuple[Reason, ...]
) -> tuple[Reason, ...]:
    if not happened or not decided:
        return decided or happened
    return tuple(dict.fromkeys((*decided, *happened)))
