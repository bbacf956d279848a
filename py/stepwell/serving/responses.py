"""Slates as wire messages: rows become ids, reasons and times are said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stepwell.pipeline.candidate import SOURCE_NAMES
from stepwell.pipeline.slate import Slate
from stepwell.schema.vocabulary import Vocabulary
from stepwell.serving.call import WIRE_OF_REASON, WIRE_OF_TIER, Call
from stepwell_pb.v1 import recommend_pb2


class ItemNames(Protocol):
    """Display names by item row. Concurrency: immutable."""

    def name_of_row(self, row: int) -> str:
        """Returns the item's name, "" when it has none."""
        ...


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What answers say about the release they came from.

    Attributes:
        release_id: directory name, such as "v000042".
        index_id: first 16 hex digits of the embedding space.
        vocabulary: ids by row.
        names: display names by row.
    """

    release_id: str
    index_id: str
    vocabulary: Vocabulary
    names: ItemNames


@dataclass(frozen=True, slots=True)
class Times:
    """When things happened to a request: microseconds, and the features' event time."""

    queue_us: int
    server_us: int
    event_time_seconds: int


def recommend_response(
    call: Call, slate: Slate, facts: ReleaseFacts, times: Times
) -> recommend_pb2.RecommendResponse:
    """Returns the answer to a Recommend call. Cost: about 5 us an item."""
    return recommend_pb2.RecommendResponse(
        request_id=call.request_id,
        items=_items(call, slate, facts),
        served_by=_served_by(slate, facts, times),
    )


def rank_response(
    call: Call,
    slate: Slate,
    unknown_item_ids: Sequence[str],
    facts: ReleaseFacts,
    times: Times,
) -> recommend_pb2.RankResponse:
    """Returns the answer to a Rank call. Cost: about 5 us an item."""
    return recommend_pb2.RankResponse(
        request_id=call.request_id,
        items=_items(call, slate, facts),
        unknown_item_ids=unknown_item_ids,
        served_by=_served_by(slate, facts, times),
    )


def _items(
    call: Call, slate: Slate, facts: ReleaseFacts
) -> list[recommend_pb2.RecommendedItem]:
    rows = slate.ranked.candidates.rows.tolist()
    scores = slate.ranked.scores.tolist()
    items = [
        recommend_pb2.RecommendedItem(
            item_id=facts.vocabulary.id_of_row(row),
            score=score,
            name=facts.names.name_of_row(row),
        )
        for row, score in zip(rows, scores, strict=True)
    ]
    if call.explain:
        _explain(items, slate)
    return items


def _explain(items: list[recommend_pb2.RecommendedItem], slate: Slate) -> None:
    ranks = slate.ranked.candidates.source_ranks.tolist()
    objectives = slate.ranked.objectives.tolist()
    for item, item_ranks, values in zip(items, ranks, objectives, strict=True):
        for source, rank in zip(SOURCE_NAMES, item_ranks, strict=True):
            if rank >= 0:
                item.sources.add(source=source, rank=rank)
        # A popular answer has no objectives, and so no names.
        for name, value in zip(slate.objective_names, values, strict=False):
            item.objectives[name] = value


def _served_by(
    slate: Slate, facts: ReleaseFacts, times: Times
) -> recommend_pb2.ServedBy:
    age_us = slate.cached_age_us
    user = slate.user
    return recommend_pb2.ServedBy(
        tier=WIRE_OF_TIER[slate.tier],
        reasons=[WIRE_OF_REASON[reason] for reason in slate.reasons],
        coverage=slate.coverage,
        release_id=facts.release_id,
        index_id=facts.index_id if slate.searched_index else "",
        stage_us=slate.stage_us,
        queue_us=times.queue_us,
        feature_age_ms=user.feature_age_ms if user else {},
        defaulted_features=user.defaulted if user else (),
        server_us=times.server_us,
        cached_slate_age_ms=None if age_us is None else age_us // 1_000,
        event_time_seconds=times.event_time_seconds,
    )
