"""Bad input against a real ranker: the exact status and the exact message."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from integration.small_project import SmallProject
from server_process import ServerProcess
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Reason, Tier
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

RECOMMEND = "/stepwell_pb.v1.RecommendService/Recommend"
RANK = "/stepwell_pb.v1.RecommendService/Rank"
LOG_EVENTS = "/stepwell_pb.v1.FeedbackService/LogEvents"

LONG = "x" * 300
"""Over the limit of every id, 256 bytes."""
SHOWN = "'" + "x" * 40 + "...'"
"""How a message shows it."""


@pytest.fixture(scope="module")
def channel(ranker: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(ranker.address) as channel:
        yield channel


def _sent(channel: grpc.Channel, method: str, raw: bytes, timeout: float = 20) -> bytes:
    """Sends bytes as they are; returns the bytes of the answer."""
    untyped: Any = channel  # its types ask for serializers; bytes need none
    answer: bytes = untyped.unary_unary(method)(raw, timeout=timeout)
    return answer


def _refused(channel: grpc.Channel, method: str, raw: bytes) -> tuple[str, str]:
    """Sends what must be refused; returns the message and the field it names."""
    with pytest.raises(grpc.RpcError) as raised:
        _sent(channel, method, raw)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(error)
    assert status is not None, "no google.rpc.Status in the trailers"
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    return error.details(), bad.field_violations[0].field


def _recommend(**fields: Any) -> bytes:
    fields = {"user_id": "u", "num_items": 10, **fields}
    return recommend_pb2.RecommendRequest(**fields).SerializeToString()


def _rank(**fields: Any) -> bytes:
    fields = {"user_id": "u", "candidate_item_ids": ["i"], **fields}
    return recommend_pb2.RankRequest(**fields).SerializeToString()


def _event(**fields: Any) -> bytes:
    fields = {
        "event_id": "e",
        "user_id": "u",
        "item_id": "i",
        "event_type": common_pb2.EVENT_TYPE_CLICK,
        **fields,
    }
    request = feedback_pb2.LogEventsRequest(events=[feedback_pb2.Event(**fields)])
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"num_items": 0}, "num_items", "num_items is 0, must be in [1, 500]"),
        ({"num_items": -1}, "num_items", "num_items is -1, must be in [1, 500]"),
        ({"num_items": 501}, "num_items", "num_items is 501, must be in [1, 500]"),
        (
            {"user_id": ""},
            "user_id",
            "user_id is '' with 0 bytes, must be in [1, 256] bytes",
        ),
        (
            {"user_id": LONG},
            "user_id",
            f"user_id is {SHOWN} with 300 bytes, must be in [1, 256] bytes",
        ),
        (
            {"user_id": "é" * 129},
            "user_id",
            f"user_id is '{'é' * 40}...' with 258 bytes, must be in [1, 256] bytes",
        ),
        (
            {"exclude_item_ids": [str(n) for n in range(3_000)]},
            "exclude_item_ids",
            "exclude_item_ids has 3000 entries, must be in [0, 1000] ids",
        ),
        (
            {"exclude_item_ids": ["a", LONG]},
            "exclude_item_ids[1]",
            f"exclude_item_ids[1] is {SHOWN} with 300 bytes, must be in [1, 256] bytes",
        ),
        (
            {"deadline_ms": -5},
            "deadline_ms",
            "deadline_ms is -5, must be in [0, 60000] ms",
        ),
        (
            {"deadline_ms": 60_001},
            "deadline_ms",
            "deadline_ms is 60001, must be in [0, 60000] ms",
        ),
        (
            {"priority": 9},
            "priority",
            "priority is 9, must be one of: PRIORITY_UNSPECIFIED, "
            "PRIORITY_INTERACTIVE, PRIORITY_PREFETCH, PRIORITY_BATCH",
        ),
        (
            {"forced_tier": 7},
            "forced_tier",
            "forced_tier is 7, must be one of: TIER_UNSPECIFIED, TIER_FULL, "
            "TIER_REDUCED, TIER_POPULAR",
        ),
        (
            {"request_id": LONG},
            "request_id",
            f"request_id is {SHOWN} with 300 bytes, must be in [0, 256] bytes",
        ),
        (
            {"surface": LONG},
            "surface",
            f"surface is {SHOWN} with 300 bytes, must be in [0, 256] bytes",
        ),
    ],
)
def test_recommend_names_the_field_its_value_and_its_range(
    channel: grpc.Channel, fields: dict[str, Any], field: str, message: str
) -> None:
    assert _refused(channel, RECOMMEND, _recommend(**fields)) == (message, field)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"candidate_item_ids": []},
            "candidate_item_ids",
            "candidate_item_ids has 0 entries, must be in [1, 2000] ids",
        ),
        (
            {"candidate_item_ids": [str(n) for n in range(2_001)]},
            "candidate_item_ids",
            "candidate_item_ids has 2001 entries, must be in [1, 2000] ids",
        ),
        ({"num_items": 501}, "num_items", "num_items is 501, must be in [0, 500]"),
    ],
)
def test_rank_names_the_field_its_value_and_its_range(
    channel: grpc.Channel, fields: dict[str, Any], field: str, message: str
) -> None:
    assert _refused(channel, RANK, _rank(**fields)) == (message, field)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"event_id": ""},
            "events[0].event_id",
            "events[0].event_id is '' with 0 bytes, must be in [1, 256] bytes",
        ),
        (
            {"value": float("nan")},
            "events[0].value",
            "events[0].value is nan, must be in [0, 1000000000]",
        ),
        (
            {"position": 2_001},
            "events[0].position",
            "events[0].position is 2001, must be in [0, 2000]",
        ),
    ],
)
def test_an_event_names_its_place_in_the_batch(
    channel: grpc.Channel, fields: dict[str, Any], field: str, message: str
) -> None:
    assert _refused(channel, LOG_EVENTS, _event(**fields)) == (message, field)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a\x02\xff\xfe\x10\x0a",  # user_id is two bytes that are not UTF-8
        b"\x0a\xff\xff\xff\xff\x0f",  # a length far beyond the message
        b"\xff\xff\xff",
    ],
)
def test_bytes_that_are_no_request_are_the_callers_mistake(
    channel: grpc.Channel, raw: bytes
) -> None:
    message, field = _refused(channel, RECOMMEND, raw)
    assert message == (
        f"request is {len(raw)} bytes that are no stepwell_pb.v1.RecommendRequest: "
        "malformed, or a string that is not UTF-8"
    )
    assert field == "request"


def test_a_message_over_the_limit_is_refused_before_it_is_parsed(
    channel: grpc.Channel,
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        _sent(channel, RECOMMEND, b"\x00" * (256 * 1024 + 1))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.details() == "request is 262145 bytes, must be at most 262144"


def test_unknown_fields_are_ignored_as_protobuf_has_it(channel: grpc.Channel) -> None:
    # Field 1000 of a newer client: skipped, not refused.
    newer = _recommend() + b"\xc2\x3e\x03new"
    answer = recommend_pb2.RecommendResponse.FromString(
        _sent(channel, RECOMMEND, newer)
    )
    assert len(answer.items) == 10


def test_a_grpc_deadline_in_the_past_is_exceeded(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        _sent(channel, RECOMMEND, _recommend(), timeout=-1)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("tier", [Tier.FULL, Tier.REDUCED])
def test_an_unknown_user_gets_a_full_slate_that_is_marked(
    client: RecommendClient, tier: Tier
) -> None:
    answer = client.recommend("nobody ever saw me", 10, forced_tier=tier)
    assert len(answer.items) == 10
    assert Reason.MISSING_USER in answer.served_by.reasons
    assert "user_history" in answer.served_by.defaulted_features


def test_ids_of_every_allowed_length_and_alphabet_are_answered(
    client: RecommendClient,
) -> None:
    for user_id in ("a", "x" * 256, "é" * 128, "\u0000", "'; drop table", "🛒" * 64):
        assert len(client.recommend(user_id, 3).items) == 3


def test_limits_themselves_are_allowed(
    client: RecommendClient, project: SmallProject
) -> None:
    excluded = [f"gone-{n}" for n in range(1_000)]
    answer = client.recommend(project.user_ids[0], 500, exclude_item_ids=excluded)
    assert len(answer.items) == 500
    candidates = [f"c-{n}" for n in range(1_999)] + [answer.items[0].item_id]
    ranked = client.rank(project.user_ids[0], candidates)
    assert [item.item_id for item in ranked.items] == [answer.items[0].item_id]
    assert len(ranked.unknown_item_ids) == 1_999


def test_the_ranker_serves_on_after_all_of_it(client: RecommendClient) -> None:
    assert len(client.recommend("still there", 5).items) == 5
