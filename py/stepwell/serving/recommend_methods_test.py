"""Recommend and Rank from bytes to bytes, on calls that came over no connection."""

import time
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2

from stepwell.base.clock import FakeClock
from stepwell.base.errors import CancelledError, DeadlineExceededError
from stepwell.base.metric_names import GRPC_HANDLED, GRPC_HANDLING, VALIDATION_FAILURES
from stepwell.base.metrics import Metrics
from stepwell.degradation.tier import Tier
from stepwell.front.call import LocalCall, local_call
from stepwell.serving.call import Call, DeadlineRules
from stepwell.serving.recommend_methods import METHODS, RecommendMethods
from stepwell_pb.v1 import common_pb2, recommend_pb2

RECOMMEND, RANK = range(2)
REQUEST = recommend_pb2.RecommendRequest(user_id="ann", num_items=5)
NOW_US = 7_000_000
INVALID_ARGUMENT, DEADLINE_EXCEEDED, INTERNAL, CANCELLED = 3, 4, 13, 1


class _Bench:
    """The methods before one who notes what comes through and answers "fine"."""

    def __init__(self, rules: DeadlineRules | None = None) -> None:
        self.clock = FakeClock()
        self.clock.advance_us(NOW_US)
        self.metrics = Metrics()
        self.calls: list[Call] = []
        self.error: Exception | None = None
        self.methods = RecommendMethods(
            self, rules or DeadlineRules(), self.clock, self.metrics
        )

    def respond(self, call: Call) -> bytes:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return b"fine"

    def ask(self, message: bytes, method: int = RECOMMEND, **changes: Any) -> LocalCall:
        given = {
            "arrived_us": _steady_us(),
            "deadline_us": None,
            "priority": 0,
            "key": "",
            **changes,
        }
        call = local_call(method, message, **given)
        self.methods(call)
        return call

    def handled(self, method: str, code: str) -> float:
        return self.metrics.value(GRPC_HANDLED, "RecommendService", method, code)


def _steady_us() -> int:
    return time.monotonic_ns() // 1_000


def _status(call: LocalCall) -> tuple[int, str, dict[str, Any]]:
    outcome = call.outcome()
    assert isinstance(outcome, tuple)
    code, text, trailers = outcome
    return code, text, dict(trailers)


def test_the_fronts_methods_are_those_of_the_service_in_its_numbers() -> None:
    paths = [method.path for method in METHODS]
    assert paths == [
        "/stepwell_pb.v1.RecommendService/Recommend",
        "/stepwell_pb.v1.RecommendService/Rank",
    ]
    descriptors = (
        recommend_pb2.RecommendRequest.DESCRIPTOR,
        recommend_pb2.RankRequest.DESCRIPTOR,
    )
    for method, descriptor in zip(METHODS, descriptors, strict=True):
        numbers = {field.name: field.number for field in descriptor.fields}
        assert method.queued
        assert method.key_field == numbers["user_id"]
        assert method.forced_field == numbers["forced_tier"]


def test_a_recommend_call_is_answered() -> None:
    bench = _Bench()
    call = bench.ask(REQUEST.SerializeToString())
    assert call.outcome() == b"fine"
    assert bench.calls[0].user_id == "ann"
    assert bench.calls[0].given_item_ids is None
    assert bench.handled("Recommend", "OK") == 1
    assert bench.metrics.value(GRPC_HANDLING, "RecommendService", "Recommend") == 1


def test_a_rank_call_brings_its_candidates() -> None:
    bench = _Bench()
    request = recommend_pb2.RankRequest(
        user_id="ann", candidate_item_ids=["a", "b"], forced_tier=common_pb2.TIER_FULL
    )
    assert bench.ask(request.SerializeToString(), RANK).outcome() == b"fine"
    assert bench.calls[0].given_item_ids == ("a", "b")
    assert bench.calls[0].arrival.forced is Tier.FULL
    assert bench.handled("Rank", "OK") == 1


def test_its_times_are_those_of_the_ranker_whatever_the_machines_clock_says() -> None:
    bench = _Bench()
    arrived_us = _steady_us() - 3_000_000
    bench.ask(
        REQUEST.SerializeToString(),
        arrived_us=arrived_us,
        deadline_us=arrived_us + 9_000_000,
    )
    arrival = bench.calls[0].arrival
    assert NOW_US - 4_000_000 < arrival.arrived_us <= NOW_US - 3_000_000
    assert arrival.deadline_us == arrival.arrived_us + 9_000_000


def test_a_call_without_a_deadline_gets_one_or_is_refused_where_it_must_bring_one() -> (
    None
):
    raw = REQUEST.SerializeToString()
    bench = _Bench(DeadlineRules(default_us=70_000))
    bench.ask(raw)
    arrival = bench.calls[0].arrival
    assert arrival.deadline_us - arrival.arrived_us == 70_000
    strict = _Bench(DeadlineRules(required=True))
    code, text, _ = _status(strict.ask(raw))
    assert (code, text[:33]) == (INVALID_ARGUMENT, "deadline_ms is 0, must be in [1, ")
    assert strict.calls == []
    assert strict.ask(raw, deadline_us=_steady_us() + 50_000).outcome() == b"fine"


def test_work_sees_that_its_caller_has_gone() -> None:
    bench = _Bench()
    call = bench.ask(REQUEST.SerializeToString())
    assert not bench.calls[0].is_cancelled()
    call.cancel()
    assert bench.calls[0].is_cancelled()


def test_a_field_out_of_its_range_is_named_before_any_work() -> None:
    bench = _Bench()
    bad = recommend_pb2.RecommendRequest(user_id="ann", num_items=501)
    code, text, trailers = _status(bench.ask(bad.SerializeToString()))
    assert (code, text) == (INVALID_ARGUMENT, "num_items is 501, must be in [1, 500]")
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    details = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(details)
    assert details.field_violations[0].field == "num_items"
    assert bench.calls == []
    assert bench.metrics.value(VALIDATION_FAILURES, "num_items") == 1
    assert bench.handled("Recommend", "INVALID_ARGUMENT") == 1


def test_a_list_that_is_too_long_is_named_though_its_message_was_not_kept() -> None:
    bench = _Bench()
    limit = METHODS[RANK].entry_limits[0]
    call = bench.ask(b"", RANK, excess=(limit.field, limit.max_entries + 1))
    code, text, trailers = _status(call)
    expected = "candidate_item_ids has 2001 entries, must be in [1, 2000] ids"
    assert (code, text) == (INVALID_ARGUMENT, expected)
    assert trailers["x-request-id"]
    assert bench.calls == []
    assert bench.metrics.value(VALIDATION_FAILURES, "candidate_item_ids") == 1
    assert bench.handled("Rank", "INVALID_ARGUMENT") == 1


def test_bytes_that_are_no_request_are_the_callers_mistake() -> None:
    code, text, _ = _status(_Bench().ask(b"\xff\xff\xff"))
    assert code == INVALID_ARGUMENT
    assert text.startswith("request is 3 bytes that are no stepwell_pb.v1.Recommend")


@pytest.mark.parametrize(
    ("error", "expected", "name"),
    [
        (DeadlineExceededError("too late"), DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (CancelledError("nobody waits"), CANCELLED, "CANCELLED"),
        (KeyError("a bug"), INTERNAL, "INTERNAL"),
    ],
)
def test_an_error_becomes_its_status_under_the_callers_own_id(
    error: Exception, expected: int, name: str
) -> None:
    bench = _Bench()
    bench.error = error
    call = bench.ask(REQUEST.SerializeToString(), metadata=[("x-request-id", "r-9")])
    code, text, trailers = _status(call)
    assert (code, trailers["x-request-id"]) == (expected, "r-9")
    assert "a bug" not in text
    assert bench.handled("Recommend", name) == 1
