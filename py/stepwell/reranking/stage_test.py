"""The whole chain, by its invariants."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet, RankedSet
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets
from stepwell.pipeline.query import Query, UserContext
from stepwell.reranking.exposure import ExposureLimit
from stepwell.reranking.item_traits import CategoricalColumn, ItemTraits
from stepwell.reranking.policy_filter import MaskArray, PolicyFilter
from stepwell.reranking.stage import RerankingOptions, RerankingStage
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import RowArray

NUM_ITEMS = 60
NOW = 1_500_000_000
BUDGETS = StageBudgets(1, 1, 1, 1, 1)
NOBODY = UserContext.unknown("u")


def _plan(diversity_lambda: float = 0.0) -> ExecutionPlan:
    return ExecutionPlan("full", {}, 500, 100, diversity_lambda, BUDGETS)


def _query(num_items: int, excluded: list[int] | None = None) -> Query:
    deadline = Deadline.after_us(FakeClock(), 10_000)
    rows = np.array(excluded or [], np.int64)
    return Query("r", "u", num_items, NOW, deadline, excluded_rows=rows)


def _ranked(rows: list[int]) -> RankedSet:
    scores = np.linspace(1, 0, len(rows), dtype=np.float32)
    candidates = CandidateSet.of_rows(np.array(rows, np.int64))
    return RankedSet(candidates, scores, scores[:, None].copy())


def _traits(seed: int = 0) -> ItemTraits:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    brands = CategoricalColumn(random.integers(0, 5, NUM_ITEMS, np.int32))
    first_seen = NOW - random.integers(0, 10**8, NUM_ITEMS)
    return ItemTraits(vectors, {"brand": brands}, first_seen)


def _policy(denied: set[int]) -> PolicyFilter:
    allowed = np.ones(NUM_ITEMS, np.bool_)
    allowed[list(denied)] = False
    return PolicyFilter(allowed)


def _rows(slate: RankedSet) -> list[int]:
    rows: list[int] = slate.candidates.rows.tolist()
    return rows


row_lists = st.lists(st.integers(0, NUM_ITEMS - 1), unique=True, max_size=NUM_ITEMS)
row_sets = st.sets(st.integers(0, NUM_ITEMS - 1), max_size=NUM_ITEMS)


@dataclass(frozen=True)
class Case:
    """One request and one policy."""

    ranking: list[int] = field(default_factory=list)
    popular: list[int] = field(default_factory=list)
    denied: set[int] = field(default_factory=set)
    excluded: set[int] = field(default_factory=set)
    num_items: int = 10

    def slate(
        self, diversity_lambda: float, options: RerankingOptions | None = None
    ) -> list[int]:
        popular = [np.array(self.popular, np.int64)]
        stage = RerankingStage(_policy(self.denied), _traits(), popular, options)
        query = _query(self.num_items, sorted(self.excluded))
        ranked = _ranked(self.ranking)
        return _rows(stage.rerank(query, NOBODY, ranked, _plan(diversity_lambda)))

    @property
    def allowed(self) -> list[int]:
        listed = dict.fromkeys(self.ranking + self.popular)
        return [row for row in listed if row not in self.denied | self.excluded]


cases = st.builds(
    Case,
    ranking=row_lists,
    # A popular list may name an item twice.
    popular=st.lists(st.integers(0, NUM_ITEMS - 1), max_size=NUM_ITEMS),
    denied=row_sets,
    excluded=row_sets,
    num_items=st.integers(1, 70),
)
EVERYTHING_ON = RerankingOptions(
    purchase_window_seconds=9,
    freshness_weight=2.0,
    exposure_limits=(ExposureLimit("brand", max_share=0.3),),
    diversity_pool_size=20,
)


@settings(max_examples=150)
@given(case=cases, diversity_lambda=st.floats(0, 1))
def test_shows_nothing_twice_nothing_denied_and_as_much_as_there_is(
    case: Case, diversity_lambda: float
) -> None:
    slate = case.slate(diversity_lambda, EVERYTHING_ON)
    assert len(set(slate)) == len(slate)
    assert not set(slate) & (case.denied | case.excluded)
    assert len(slate) == min(case.num_items, len(case.allowed))


@settings(max_examples=100)
@given(case=cases)
def test_keeps_the_ranking_when_every_reranker_is_off(case: Case) -> None:
    assert case.slate(0.0) == case.allowed[: case.num_items]


def test_popular_fills_carry_no_score_and_name_their_source() -> None:
    stage = RerankingStage(_policy({7}), popular=[np.array([7, 3, 1, 9])])
    slate = stage.rerank(_query(4), NOBODY, _ranked([3, 5]), _plan())
    assert _rows(slate) == [3, 5, 1, 9]
    assert slate.scores.tolist() == [1.0, 0.0, 0.0, 0.0]
    popular = slate.candidates.source_ranks[:, SOURCE_NAMES.index("popular")]
    assert popular.tolist() == [-1, -1, 2, 3]
    assert slate.objectives.shape == (4, 1)
    assert slate.places is not None
    assert slate.places.tolist() == [0, 1, -1, -1]


def test_fills_from_the_list_of_the_users_segment() -> None:
    lists = [np.array([1, 2]), np.array([8, 9])]
    stage = RerankingStage(_policy(set()), popular=lists)
    for segment, expected in ((0, [1, 2]), (1, [8, 9]), (5, [1, 2])):
        user = replace(NOBODY, segment_row=segment)
        assert _rows(stage.rerank(_query(2), user, _ranked([]), _plan())) == expected


def test_a_rank_call_is_never_filled() -> None:
    stage = RerankingStage(_policy({4}), popular=[np.array([1, 2])])
    query = replace(_query(5), given_rows=np.array([3, 4]))
    assert _rows(stage.rerank(query, NOBODY, _ranked([3, 4]), _plan())) == [3]


def test_hides_what_was_bought_within_the_window_and_nothing_else() -> None:
    times = np.array([NOW - 10, NOW - 100, NOW - 100])
    keys = np.array([5, 6, 7], np.uint64)
    history = UserHistory.from_events(keys, times, np.zeros(3, np.float32))
    # Most recent first, ties by higher key: 5, 7, 6; the last is unknown here.
    user = UserContext("u", history, np.array([2, 4, -1]))
    options = RerankingOptions(purchase_window_seconds=100)
    stage = RerankingStage(_policy(set()), options=options)
    slate = stage.rerank(_query(5), user, _ranked([2, 4, 1]), _plan())
    assert _rows(slate) == [4, 1]


def test_a_plan_that_lifts_new_items_does_so_for_its_request_alone() -> None:
    traits, ranking = _traits(), list(range(NUM_ITEMS))
    lifting = RerankingOptions(freshness_weight=2.0)
    query, ranked = _query(10), _ranked(ranking)
    by_plan = replace(_plan(), freshness_weight=2.0)
    for options, plan, is_lifted in (
        (RerankingOptions(), _plan(), False),
        (RerankingOptions(), by_plan, True),
        (lifting, _plan(), True),
        (lifting, replace(_plan(), freshness_weight=0.0), False),
    ):
        stage = RerankingStage(_policy(set()), traits, options=options)
        slate = _rows(stage.rerank(query, NOBODY, ranked, plan))
        assert (slate != ranking[:10]) == is_lifted


def test_no_brand_takes_more_than_its_share_even_when_diversity_likes_it() -> None:
    traits = _traits()
    limit = ExposureLimit("brand", max_share=0.3)
    options = RerankingOptions(exposure_limits=(limit,))
    stage = RerankingStage(_policy(set()), traits, options=options)
    ranking = list(range(NUM_ITEMS))
    slate = stage.rerank(_query(10), NOBODY, _ranked(ranking), _plan(0.9))
    brands = traits.codes_of("brand")[slate.candidates.rows]
    assert np.bincount(brands[brands > 0]).max() <= limit.quota(10)


class BrokenBans:
    """A policy service that is down."""

    def banned(self, rows: RowArray) -> MaskArray:
        raise ConnectionError("down")


def test_shows_nothing_from_any_road_when_the_policy_cannot_be_asked() -> None:
    policy = PolicyFilter(np.ones(NUM_ITEMS, np.bool_), BrokenBans())
    stage = RerankingStage(policy, popular=[np.arange(10)])
    slate = stage.rerank(_query(5), NOBODY, _ranked([1, 2, 3]), _plan(0.5))
    assert _rows(slate) == []


@pytest.mark.parametrize("ranking", [[], [3]])
def test_a_ranking_too_short_to_diversify_passes(ranking: list[int]) -> None:
    stage = RerankingStage(_policy(set()), _traits())
    slate = stage.rerank(_query(5), NOBODY, _ranked(ranking), _plan(0.5))
    assert _rows(slate) == ranking
