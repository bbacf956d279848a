"""Validation: each limit at its edge, one past it, and the text of the error."""

from typing import Any

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.serving.validation import check_message, entry_limits, excess_error
from stepwell_pb.v1 import (
    admin_pb2,
    common_pb2,
    feedback_pb2,
    recommend_pb2,
    retrieval_pb2,
)


def _recommend(**changes: object) -> recommend_pb2.RecommendRequest:
    fields: dict[str, object] = {"user_id": "u", "num_items": 10, **changes}
    return recommend_pb2.RecommendRequest(**fields)  # type: ignore[arg-type]


AT_THE_LIMIT = [
    {"user_id": "u" * 256},
    {"user_id": "é" * 128},
    {"num_items": 1},
    {"num_items": 500},
    {"exclude_item_ids": ["x" * 256] * 1000},
    {"deadline_ms": 60_000},
    {"surface": "s" * 256},
    {"priority": recommend_pb2.PRIORITY_BATCH},
    {"forced_tier": common_pb2.TIER_POPULAR},
]


@pytest.mark.parametrize("changes", AT_THE_LIMIT)
def test_accepts_a_value_at_its_limit(changes: dict[str, object]) -> None:
    check_message(_recommend(**changes))


BREACHES = [
    ({"user_id": ""}, "user_id is '' with 0 bytes, must be in [1, 256] bytes"),
    (
        {"request_features": {f"x{n}": 0.0 for n in range(33)}},
        "request_features has 33 entries, must be in [0, 32] features",
    ),
    (
        {"request_features": {"": 0.0}},
        "request_features[0] is '' with 0 bytes, must be in [1, 64] bytes",
    ),
    ({"num_items": 0}, "num_items is 0, must be in [1, 500]"),
    ({"num_items": -1}, "num_items is -1, must be in [1, 500]"),
    ({"num_items": 501}, "num_items is 501, must be in [1, 500]"),
    ({"num_items": 2**31 - 1}, "num_items is 2147483647, must be in [1, 500]"),
    (
        {"exclude_item_ids": ["x"] * 1001},
        "exclude_item_ids has 1001 entries, must be in [0, 1000] ids",
    ),
    (
        {"exclude_item_ids": ["a", ""]},
        "exclude_item_ids[1] is '' with 0 bytes, must be in [1, 256] bytes",
    ),
    (
        {"exclude_item_ids": ["é" * 129]},
        (
            f"exclude_item_ids[0] is {'é' * 40 + '...'!r} with 258 bytes, "
            "must be in [1, 256] bytes"
        ),
    ),
    (
        {"user_id": "x" * 300},
        f"user_id is {'x' * 40 + '...'!r} with 300 bytes, must be in [1, 256] bytes",
    ),
    ({"deadline_ms": -1}, "deadline_ms is -1, must be in [0, 60000] ms"),
    ({"deadline_ms": 60_001}, "deadline_ms is 60001, must be in [0, 60000] ms"),
    (
        {"forced_tier": 9},
        (
            "forced_tier is 9, must be one of: "
            "TIER_UNSPECIFIED, TIER_FULL, TIER_REDUCED, TIER_POPULAR"
        ),
    ),
    (
        {"priority": 7},
        (
            "priority is 7, must be one of: PRIORITY_UNSPECIFIED, "
            "PRIORITY_INTERACTIVE, PRIORITY_PREFETCH, PRIORITY_BATCH"
        ),
    ),
]


@pytest.mark.parametrize(("changes", "message"), BREACHES)
def test_a_breach_names_field_value_and_range(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_message(_recommend(**changes))
    assert str(caught.value) == message
    assert caught.value.field == message.split(" ")[0]


def test_rank_wants_candidates_but_no_number_of_items() -> None:
    check_message(recommend_pb2.RankRequest(user_id="u", candidate_item_ids=["a"]))
    with pytest.raises(InvalidArgumentError, match="candidate_item_ids has 0 entries"):
        check_message(recommend_pb2.RankRequest(user_id="u"))
    many = recommend_pb2.RankRequest(user_id="u", candidate_item_ids=["a"] * 2001)
    with pytest.raises(InvalidArgumentError, match="has 2001 entries"):
        check_message(many)


def _event(**changes: object) -> feedback_pb2.Event:
    fields: dict[str, object] = {
        "event_id": "e",
        "user_id": "u",
        "item_id": "i",
        "event_type": common_pb2.EVENT_TYPE_PURCHASE,
        **changes,
    }
    return feedback_pb2.Event(**fields)  # type: ignore[arg-type]


def test_an_absent_optional_field_is_not_checked() -> None:
    check_message(_event())
    check_message(_event(position=0))
    check_message(_event(position=2000))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": float("nan")}, r"events\[3\].value is nan"),
        ({"value": float("inf")}, r"events\[3\].value is inf"),
        ({"value": -0.5}, r"events\[3\].value is -0.5"),
        ({"position": 2001}, r"events\[3\].position is 2001"),
        ({"event_time_seconds": -1}, r"events\[3\].event_time_seconds is -1"),
        ({"event_type": 77}, r"events\[3\].event_type is 77"),
    ],
)
def test_an_event_in_a_batch_is_named_by_its_place(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_message(_event(**changes), prefix="events[3].")


LISTS = [
    (recommend_pb2.RecommendRequest, "exclude_item_ids", 1_000),
    (recommend_pb2.RankRequest, "candidate_item_ids", 2_000),
    (feedback_pb2.LogEventsRequest, "events", 1_000),
]


@pytest.mark.parametrize(("kind", "name", "most"), LISTS)
def test_a_list_counted_on_the_wire_breaks_its_limit_in_the_same_words(
    kind: Any, name: str, most: int
) -> None:
    limit = entry_limits(kind)[0]
    assert limit.field == kind.DESCRIPTOR.fields_by_name[name].number
    assert limit.max_entries == most
    one = [feedback_pb2.Event()] if name == "events" else ["x"]
    request = kind(**{name: one * (most + 1)})
    if name != "events":
        request.user_id, request.num_items = "u", 1
    with pytest.raises(InvalidArgumentError) as parsed:
        check_message(request)
    counted = excess_error(kind, (limit.field, most + 1))
    assert str(counted) == str(parsed.value)
    assert counted.field == name


def test_entries_of_a_map_are_counted_on_the_wire() -> None:
    kind: Any = recommend_pb2.RankRequest
    number = kind.DESCRIPTOR.fields_by_name["request_features"].number
    assert (number, 32) in [tuple(limit) for limit in entry_limits(kind)]


def test_lists_of_packed_numbers_are_not_counted_on_the_wire() -> None:
    assert entry_limits(retrieval_pb2.DeleteRequest) == ()
    search: Any = retrieval_pb2.SearchRequest
    queries = search.DESCRIPTOR.fields_by_name["queries"].number
    assert entry_limits(search) == ((queries, 64),)


def test_a_message_without_limits_passes() -> None:
    check_message(admin_pb2.GetStatusRequest())
