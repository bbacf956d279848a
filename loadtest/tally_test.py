"""Counting calls."""

import json

import pytest

from stepwell.base.errors import ResourceExhaustedError
from stepwell.client.messages import answer_of
from stepwell.client.types import Answer
from stepwell_pb.v1 import recommend_pb2
from tally import LoadReport, Tally


def _answer(tier: int, *reasons: int) -> Answer:
    served = recommend_pb2.ServedBy(tier=tier, reasons=reasons)  # type: ignore[arg-type]
    return answer_of(recommend_pb2.RecommendResponse(served_by=served), 1)


def _run() -> LoadReport:
    tally = Tally()
    tally.add("browse", 1.0, _answer(1))
    tally.add("browse", 3.0, _answer(2, 1, 14))
    tally.add("click", 2.0, None)
    tally.add_error("browse", 10.0, ResourceExhaustedError("shed"))
    tally.add_error("click", 10.0, OSError("cable"))
    return tally.report(seconds=2.0)


def test_counts_by_journey_tier_reason_and_error() -> None:
    report = _run()
    browse, click, total = report.journeys
    assert (browse.num_calls, browse.num_errors, browse.p50_ms) == (3, 1, 3.0)
    assert (click.num_calls, click.num_errors, click.rate) == (2, 1, 1.0)
    assert (total.name, total.num_calls, total.num_errors) == ("all", 5, 2)
    assert total.max_ms == 10.0
    assert report.tiers == {"FULL": 1, "REDUCED": 1}
    assert report.reasons == {"BACKLOG": 1, "EXERCISE": 1}
    assert report.errors == {"RESOURCE_EXHAUSTED": 1, "OSError": 1}


def test_a_report_survives_json() -> None:
    report = _run()
    assert LoadReport.from_json(json.loads(json.dumps(report.as_json()))) == report


def test_a_run_without_calls_is_all_zero() -> None:
    total = Tally().report(seconds=1.0).total
    assert (total.num_calls, total.p99_ms) == (0, 0.0)
    assert total.rate == pytest.approx(0.0)
