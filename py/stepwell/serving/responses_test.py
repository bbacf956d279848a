"""Responses: bytes that say what a message built field by field would say."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.degradation.controller import Arrival
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet, RankedSet
from stepwell.pipeline.query import UserContext
from stepwell.pipeline.slate import Slate
from stepwell.schema.vocabulary import Vocabulary
from stepwell.serving.call import Call
from stepwell.serving.responses import (
    Account,
    ReleaseFacts,
    rank_response,
    recommend_response,
)
from stepwell_pb.v1 import common_pb2, recommend_pb2

ACCOUNT = Account((Reason.BACKLOG, Reason.PROBE), 30, 40, 1_500_000_000)


class _Names:
    def name_of_row(self, row: int) -> str:
        return "" if row == 1 else f"Item {row}"


FACTS = ReleaseFacts(
    "v000007", "ab" * 8, Vocabulary.build(["a", "b", "c", "d"]), _Names()
)


def _call(*, explain: bool = False) -> Call:
    arrival = Arrival(0, 100, 0, 0)
    return Call("r-1", "u", 3, arrival, explain=explain)


def _slate(rows: list[int], scores: list[float]) -> Slate:
    candidates = CandidateSet.of_rows(np.array(rows, np.int64))
    candidates.source_ranks[:, 2] = range(len(rows))
    values = np.array(scores, np.float32)
    return Slate(
        ranked=RankedSet(candidates, values, values[:, None]),
        tier=Tier.REDUCED,
        objective_names=("bought",),
        coverage=0.5,
        stage_us={"ranking": 9},
        cached_age_us=2_500,
        searched_index=True,
    )


@pytest.mark.parametrize(
    ("rows", "scores"),
    [([], []), ([2], [0.0]), ([3, 1, 0], [2.5, -0.25, 0.0])],
)
def test_an_answer_names_its_items_in_order_with_their_scores(
    rows: list[int], scores: list[float]
) -> None:
    wire = recommend_response(_call(), _slate(rows, scores), FACTS, ACCOUNT)
    response = recommend_pb2.RecommendResponse.FromString(wire)
    assert response.request_id == "r-1"
    assert [(i.item_id, i.name, i.score) for i in response.items] == [
        ("abcd"[row], _Names().name_of_row(row), score)
        for row, score in zip(rows, scores, strict=True)
    ]
    assert not any(item.sources or item.objectives for item in response.items)


def test_an_answer_says_how_it_came_about() -> None:
    wire = recommend_response(_call(), _slate([0], [1.0]), FACTS, ACCOUNT)
    assert recommend_pb2.RecommendResponse.FromString(
        wire
    ).served_by == recommend_pb2.ServedBy(
        tier=common_pb2.TIER_REDUCED,
        reasons=[common_pb2.REASON_BACKLOG, common_pb2.REASON_PROBE],
        coverage=0.5,
        release_id="v000007",
        index_id="ab" * 8,
        stage_us={"ranking": 9},
        queue_us=30,
        server_us=40,
        cached_slate_age_ms=2,
        event_time_seconds=1_500_000_000,
    )


def test_an_answer_says_how_old_the_features_are_and_which_are_defaults() -> None:
    user = replace(
        UserContext.unknown("u", ("history", "activity")),
        feature_age_ms={"history": 5_000},
        writer_age_ms={"history": 700_000, "activity": 90},
    )
    wire = recommend_response(
        _call(), replace(_slate([], []), user=user), FACTS, ACCOUNT
    )
    served = recommend_pb2.RecommendResponse.FromString(wire).served_by
    assert served.feature_age_ms == {"history": 5_000}
    assert served.writer_age_ms == {"history": 700_000, "activity": 90}
    assert list(served.defaulted_features) == ["history", "activity"]


def test_explained_items_are_the_same_items_with_sources_and_objectives() -> None:
    slate = _slate([3, 1], [2.5, -0.25])
    plain, explained = (
        recommend_pb2.RecommendResponse.FromString(
            recommend_response(_call(explain=explain), slate, FACTS, ACCOUNT)
        )
        for explain in (False, True)
    )
    for place, item in enumerate(explained.items):
        (source,) = item.sources
        assert (source.source, source.rank) == (SOURCE_NAMES[2], place)
        assert dict(item.objectives) == {"bought": item.score}
        del item.sources[:]
        item.objectives.clear()
    assert explained == plain


def test_a_rank_answer_names_what_the_release_does_not_know() -> None:
    wire = rank_response(_call(), _slate([1], [0.5]), ("x", "y"), FACTS, ACCOUNT)
    response = recommend_pb2.RankResponse.FromString(wire)
    assert list(response.unknown_item_ids) == ["x", "y"]
    assert [(item.item_id, item.score) for item in response.items] == [("b", 0.5)]
    assert response.served_by.tier == common_pb2.TIER_REDUCED
