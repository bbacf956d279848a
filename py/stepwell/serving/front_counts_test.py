"""The front's counters on the metrics page."""

from dataclasses import replace

import pytest

from stepwell.base.metric_names import (
    FRONT_CANCELLED,
    FRONT_CONNECTIONS,
    FRONT_GIVEN_CONNECTIONS,
    FRONT_RECEIVED_BYTES,
    FRONT_REJECTED,
    FRONT_REJECTED_CONNECTIONS,
    FRONT_SENT_BYTES,
    FRONT_UNUSABLE_CONNECTIONS,
    GRPC_HANDLED,
    REFUSALS,
)
from stepwell.base.metrics import Metrics
from stepwell.front.front import FrontCounters
from stepwell.serving.front_counts import FrontCounts

REFUSED = ("RecommendService", "refused")
REJECTED = ("unknown", "unknown")
COUNTERS = FrontCounters(
    num_calls=100,
    num_open=7,
    num_connections=3,
    num_accepted=30,
    num_rejected=4,
    num_refused_overload=(1, 2, 4),
    num_refused_late=5,
    num_expired=20,
    num_too_large=6,
    num_metadata_too_large=8,
    num_unknown_method=9,
    num_malformed=10,
    num_cancelled=11,
    bytes_in=1_000,
    bytes_out=2_000,
    num_given=12,
    num_adopted=13,
    num_unusable=14,
)


class _Counted:
    """Counters that a test may change."""

    def __init__(self) -> None:
        self.now = COUNTERS
        self.metrics = Metrics()
        self.counts = FrontCounts(self.metrics, lambda: self.now)


@pytest.fixture
def counted() -> _Counted:
    return _Counted()


def test_refusals_of_every_priority_are_calls_that_were_handled(
    counted: _Counted,
) -> None:
    counted.counts.refresh()
    metrics = counted.metrics
    assert metrics.value(REFUSALS, "overload") == 7
    assert metrics.value(GRPC_HANDLED, *REFUSED, "RESOURCE_EXHAUSTED") == 7
    assert metrics.value(REFUSALS, "expired") == 25
    assert metrics.value(GRPC_HANDLED, *REFUSED, "DEADLINE_EXCEEDED") == 25


def test_what_broke_a_rule_of_the_wire_is_counted_by_cause(counted: _Counted) -> None:
    counted.counts.refresh()
    metrics = counted.metrics
    causes = ("too_large", "metadata", "no_method", "malformed")
    assert [metrics.value(FRONT_REJECTED, cause) for cause in causes] == [6, 8, 9, 10]
    handled = {
        code: metrics.value(GRPC_HANDLED, *REJECTED, code)
        for code in ("RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "INTERNAL")
    }
    assert handled == {"RESOURCE_EXHAUSTED": 14, "UNIMPLEMENTED": 9, "INTERNAL": 10}


def test_looking_twice_counts_once(counted: _Counted) -> None:
    counted.counts.refresh()
    counted.now = replace(COUNTERS, num_cancelled=12, num_connections=1)
    counted.counts.refresh()
    metrics = counted.metrics
    assert metrics.value(FRONT_CANCELLED) == 12
    assert metrics.value(FRONT_CONNECTIONS) == 1
    assert metrics.value(FRONT_REJECTED_CONNECTIONS) == 4
    assert metrics.value(FRONT_GIVEN_CONNECTIONS) == 12
    assert metrics.value(FRONT_UNUSABLE_CONNECTIONS) == 14
    assert metrics.value(FRONT_RECEIVED_BYTES) == 1_000
    assert metrics.value(FRONT_SENT_BYTES) == 2_000


def test_what_a_worker_counts_too_is_added_up(counted: _Counted) -> None:
    counted.metrics.add(REFUSALS, "expired")
    counted.counts.refresh()
    counted.counts.refresh()
    assert counted.metrics.value(REFUSALS, "expired") == 26
