"""The client against a real server that answers as scripted."""

import random
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from stepwell.base import errors
from stepwell.client import RecommendClient
from stepwell.client.attempts import ClientOptions
from stepwell.client.conftest import Refusal, Script
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient as FromModule
from stepwell.client.types import Event, EventType, Priority, Reason, Tier
from stepwell_pb.v1 import common_pb2, recommend_pb2

DOWN = Refusal(grpc.StatusCode.UNAVAILABLE)


def _client(script: Script, **retries: int) -> RecommendClient:
    retries = {"backoff_us": 100, **retries}
    options = ClientOptions(
        deadline_ms=5_000, retries=RetryOptions(**retries), jitter=random.Random(7)
    )
    return RecommendClient(script.address, options)


def test_the_package_gives_the_client_and_nothing_it_does_not_have() -> None:
    assert RecommendClient is FromModule
    with pytest.raises(ImportError, match="NoSuchClient"):
        from stepwell.client import NoSuchClient  # noqa: F401


def test_a_request_says_all_that_the_caller_said(script: Script) -> None:
    with _client(script) as client:
        client.recommend(
            "u",
            7,
            exclude_item_ids=["a", "b"],
            surface="home",
            priority=Priority.PREFETCH,
            explain=True,
            forced_tier=Tier.REDUCED,
            request_id="r-1",
            deadline_ms=7_000,
        )
    (request,) = script.requests
    assert request == recommend_pb2.RecommendRequest(
        user_id="u",
        num_items=7,
        exclude_item_ids=["a", "b"],
        surface="home",
        # Beside gRPC's own.
        deadline_ms=7_000,
        priority=recommend_pb2.PRIORITY_PREFETCH,
        explain=True,
        forced_tier=common_pb2.TIER_REDUCED,
        request_id="r-1",
    )


def _full_response() -> recommend_pb2.RecommendResponse:
    response = recommend_pb2.RecommendResponse(request_id="r-1")
    item = response.items.add(item_id="milk", score=0.5, name="Milk")
    item.sources.add(source="history", rank=3)
    item.objectives["bought"] = 0.25
    served: dict[str, Any] = {
        "tier": 2,
        "reasons": [1, 14, 4_000],
        "coverage": 0.75,
        "release_id": "v000001",
        "index_id": "abcd",
        "stage_us": {"ranking": 900},
        "queue_us": 5,
        "server_us": 1_500,
        "feature_age_ms": {"user_history": 60},
        "defaulted_features": ["user_history"],
        "cached_slate_age_ms": 0,
        "event_time_seconds": 1_500_000_000,
        "writer_age_ms": {"user_history": 800},
    }
    response.served_by.CopyFrom(recommend_pb2.ServedBy(**served))
    return response


def test_an_answer_carries_everything_of_the_response(script: Script) -> None:
    script.answer.CopyFrom(_full_response())
    with _client(script) as client:
        answer = client.recommend("u")
    (item,) = answer.items
    assert (item.item_id, item.score, item.name) == ("milk", 0.5, "Milk")
    assert item.source_ranks == {"history": 3}
    assert item.objectives == {"bought": 0.25}
    served = answer.served_by
    assert (answer.request_id, served.tier, served.coverage) == (
        "r-1",
        Tier.REDUCED,
        0.75,
    )
    # A reason of a newer server is not lost, only not named.
    assert served.reasons == (Reason.BACKLOG, Reason.EXERCISE, Reason.UNSPECIFIED)
    assert served.stage_us == {"ranking": 900}
    assert (served.queue_us, served.server_us) == (5, 1_500)
    assert served.cached_slate_age_ms == 0
    assert served.event_time_seconds == 1_500_000_000
    assert (served.release_id, served.index_id) == ("v000001", "abcd")
    assert served.feature_age_ms == {"user_history": 60}
    assert served.writer_age_ms == {"user_history": 800}
    assert served.defaulted_features == ("user_history",)


def test_no_cached_slate_has_no_age(script: Script) -> None:
    with _client(script) as client:
        assert client.recommend("u").served_by.cached_slate_age_ms is None


def test_ranks_given_items_and_names_the_unknown_ones(script: Script) -> None:
    script.ranked.unknown_item_ids.append("gin")
    with _client(script) as client:
        answer = client.rank("u", ["milk", "gin"], 1, explain=True)
    assert answer.unknown_item_ids == ("gin",)
    (request,) = script.requests
    assert list(request.candidate_item_ids) == ["milk", "gin"]
    assert request.num_items == 1
    assert request.explain


def test_logs_events_whole(script: Script) -> None:
    event = Event("e", "u", "milk", EventType.PURCHASE, 9, 1.5, "r", 0)
    with _client(script) as client:
        stored = client.log_events([event, Event("f", "u", "x", EventType.CLICK)])
    assert (stored.num_stored, stored.num_duplicates) == (2, 0)
    first, second = script.requests[0].events
    assert (first.event_id, first.value, first.position) == ("e", 1.5, 0)
    assert not second.HasField("position")


def test_retries_what_was_unavailable_and_says_how_often(script: Script) -> None:
    script.refusals = [DOWN, DOWN]
    with _client(script) as client:
        assert client.recommend("u").num_attempts == 3
    assert len(script.requests) == 3


def test_gives_up_after_the_last_attempt_with_a_typed_error(script: Script) -> None:
    script.always = DOWN
    with _client(script) as client, pytest.raises(errors.UnavailableError):
        client.recommend("u")
    assert len(script.requests) == 3


def test_a_dead_server_sees_at_most_a_tenth_more_calls(script: Script) -> None:
    script.always = DOWN
    with _client(script, budget_permille=100, budget_tokens=2) as client:
        for _ in range(200):
            with pytest.raises(errors.UnavailableError):
                client.recommend("u")
    # A tenth of the calls, and the bucket's content once.
    assert 200 < len(script.requests) <= 200 + 20 + 2


@pytest.mark.parametrize("pushback", ["-1", "soon"])
def test_a_server_that_asks_for_no_retry_gets_none(
    script: Script, pushback: str
) -> None:
    metadata = (("grpc-retry-pushback-ms", pushback),)
    script.refusals = [Refusal(grpc.StatusCode.UNAVAILABLE, metadata=metadata)]
    with _client(script) as client, pytest.raises(errors.UnavailableError):
        client.recommend("u")
    assert len(script.requests) == 1


def test_a_shed_request_says_when_to_come_back_and_is_not_repeated(
    script: Script,
) -> None:
    delay = duration_pb2.Duration(nanos=120_000_000)
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=8, message="shed", details=[detail])
    packed = ("grpc-status-details-bin", status.SerializeToString())
    script.always = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "shed", (packed,))
    with (
        _client(script) as client,
        pytest.raises(errors.ResourceExhaustedError, match="shed") as raised,
    ):
        client.recommend("u")
    assert raised.value.retry_after_ms == 120
    assert len(script.requests) == 1


def test_a_bad_field_is_named(script: Script) -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="num_items", description="is 0")
    detail = any_pb2.Any()
    detail.Pack(bad)
    status = status_pb2.Status(code=3, details=[detail]).SerializeToString()
    script.always = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "is 0", (("grpc-status-details-bin", status),)
    )
    with (
        _client(script) as client,
        pytest.raises(errors.InvalidArgumentError, match="is 0") as raised,
    ):
        client.recommend("u", 0)
    assert raised.value.field == "num_items"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("FAILED_PRECONDITION", errors.FailedPreconditionError),
        ("DEADLINE_EXCEEDED", errors.DeadlineExceededError),
        ("NOT_FOUND", errors.NotFoundError),
        ("PERMISSION_DENIED", errors.PermissionDeniedError),
        ("DATA_LOSS", errors.DataLossError),
        ("INTERNAL", errors.StepwellError),
        ("UNIMPLEMENTED", errors.StepwellError),
        ("INVALID_ARGUMENT", errors.InvalidArgumentError),
        ("RESOURCE_EXHAUSTED", errors.ResourceExhaustedError),
    ],
)
def test_every_code_has_its_error_and_is_asked_once(
    script: Script, code: str, expected: type[errors.StepwellError]
) -> None:
    broken = (("grpc-status-details-bin", b"\xff\xff\xff"),)
    script.always = Refusal(grpc.StatusCode[code], "why", broken)
    with _client(script) as client, pytest.raises(expected, match=f"{code}: why"):
        client.recommend("u")
    assert len(script.requests) == 1


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        RecommendClient("127.0.0.1:1", ClientOptions(deadline_ms=300)) as client,
        pytest.raises(errors.UnavailableError),
    ):
        client.recommend("u")


def test_a_deadline_that_has_passed_is_an_error_of_its_own(script: Script) -> None:
    with _client(script) as client, pytest.raises(errors.DeadlineExceededError):
        client.recommend("u", deadline_ms=0)
