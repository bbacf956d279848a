"""What is counted of an answer's user: defaults and ages, view by view."""

from dataclasses import replace

import numpy as np

from stepwell.base.clock import FakeClock
from stepwell.base.metric_names import DEFAULTED_VIEWS, ROW_AGE
from stepwell.base.metrics import Metrics
from stepwell.degradation.tier import Tier
from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.query import UserContext
from stepwell.pipeline.slate import Slate
from stepwell.serving.answer_metrics import AnswerMetrics

RANKED = RankedSet(
    CandidateSet.of_rows(np.zeros(0, np.int64)),
    np.zeros(0, np.float32),
    np.zeros((0, 1), np.float32),
)


def test_counts_the_defaults_and_observes_the_ages_of_a_users_views() -> None:
    metrics = Metrics()
    counted = AnswerMetrics(metrics, FakeClock())
    user = replace(
        UserContext.unknown("u", ("history",)),
        feature_age_ms={"history": 7_000_000, "activity": 30_000},
    )
    counted.count(Slate(RANKED, Tier.FULL, user=user), (), server_us=900)
    counted.count(Slate(RANKED, Tier.POPULAR), (), server_us=90)
    assert metrics.value(DEFAULTED_VIEWS, "history") == 1
    assert metrics.value(DEFAULTED_VIEWS, "activity") == 0
    assert metrics.value(ROW_AGE, "history") == metrics.value(ROW_AGE, "activity") == 1
    assert 'row_age_seconds_sum{view="activity"} 30.0' in metrics.exposition().decode()
