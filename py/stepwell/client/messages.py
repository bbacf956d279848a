"""Between the client's values and the wire's messages; pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

from stepwell.client.types import (
    Answer,
    Event,
    Priority,
    Reason,
    Recommendation,
    ServedBy,
    Stored,
    Tier,
)
from stepwell_pb.v1 import feedback_pb2, recommend_pb2

MAX_DEADLINE_MS = 60_000
"""The longest that the message may say; the server cuts a longer one to it."""


class RequestOptions(TypedDict, total=False):
    """What a recommend or rank call may say beside its subject; all may be left out.

    Keys:
        surface: where the slate is shown, at most 256 bytes.
        priority: which request goes first.
        explain: adds sources and objectives to every item.
        forced_tier: asks for one tier, for tests and comparisons.
        request_id: names the answer; the server makes one when it is empty.
        request_features: what only the caller knows of the moment, such as its
            "local_hour": features of the view request_context by name, at most 32.
    """

    surface: str
    priority: Priority
    explain: bool
    forced_tier: Tier
    request_id: str
    request_features: Mapping[str, float]


def recommend_request(
    user_id: str,
    num_items: int,
    exclude_item_ids: Iterable[str],
    options: RequestOptions,
) -> recommend_pb2.RecommendRequest:
    """Returns the message; raises ValueError on a number that is no int32."""
    return recommend_pb2.RecommendRequest(
        user_id=user_id,
        num_items=num_items,
        exclude_item_ids=exclude_item_ids,
        **_numbered(options),
    )


def tell_deadline(
    request: recommend_pb2.RecommendRequest | recommend_pb2.RankRequest,
    deadline_ms: int,
) -> None:
    """Names the call's deadline in the message, beside the one that gRPC sends.

    The second runs down on the way: from the difference the server knows how long the
    call has waited where no queue of its own could see it.
    """
    request.deadline_ms = min(deadline_ms, MAX_DEADLINE_MS)


def rank_request(
    user_id: str, item_ids: Iterable[str], num_items: int, options: RequestOptions
) -> recommend_pb2.RankRequest:
    """Returns the message; raises ValueError on a number that is no int32."""
    return recommend_pb2.RankRequest(
        user_id=user_id,
        candidate_item_ids=item_ids,
        num_items=num_items,
        **_numbered(options),
    )


def events_request(events: Iterable[Event]) -> feedback_pb2.LogEventsRequest:
    """Returns the message of a batch."""
    return feedback_pb2.LogEventsRequest(
        events=[
            feedback_pb2.Event(
                event_id=event.event_id,
                user_id=event.user_id,
                item_id=event.item_id,
                event_type=cast(Any, event.event_type),
                event_time_seconds=event.event_time_seconds,
                value=event.value,
                request_id=event.request_id,
                position=event.position,
            )
            for event in events
        ]
    )


def answer_of(
    response: recommend_pb2.RecommendResponse | recommend_pb2.RankResponse,
    num_attempts: int,
) -> Answer:
    """Returns the answer of either call."""
    unknown: Sequence[str] = ()
    if isinstance(response, recommend_pb2.RankResponse):
        unknown = response.unknown_item_ids
    return Answer(
        request_id=response.request_id,
        items=tuple(_recommendation(item) for item in response.items),
        served_by=_served_by(response.served_by),
        unknown_item_ids=tuple(unknown),
        num_attempts=num_attempts,
    )


def stored_of(response: feedback_pb2.LogEventsResponse) -> Stored:
    """Returns what became of a batch."""
    return Stored(response.num_stored, response.num_duplicates)


def _numbered(options: RequestOptions) -> dict[str, Any]:
    """The same options, for messages whose types know only their own enums."""
    return dict(options)


def _recommendation(item: recommend_pb2.RecommendedItem) -> Recommendation:
    return Recommendation(
        item_id=item.item_id,
        score=item.score,
        name=item.name,
        source_ranks={source.source: source.rank for source in item.sources},
        objectives=dict(item.objectives),
    )


def _served_by(served: recommend_pb2.ServedBy) -> ServedBy:
    cached = served.HasField("cached_slate_age_ms")
    return ServedBy(
        tier=Tier(served.tier),
        reasons=tuple(Reason(reason) for reason in served.reasons),
        coverage=served.coverage,
        release_id=served.release_id,
        index_id=served.index_id,
        stage_us=dict(served.stage_us),
        queue_us=served.queue_us,
        server_us=served.server_us,
        feature_age_ms=dict(served.feature_age_ms),
        defaulted_features=tuple(served.defaulted_features),
        cached_slate_age_ms=served.cached_slate_age_ms if cached else None,
        event_time_seconds=served.event_time_seconds,
        writer_age_ms=dict(served.writer_age_ms),
    )
