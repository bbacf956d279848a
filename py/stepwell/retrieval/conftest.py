"""A small catalogue, its artifacts and users, made of seeded arrays."""

from dataclasses import dataclass

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.index.ann_index import HnswIndex, HnswOptions
from stepwell.models.two_tower_user import UserTower
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys

NUM_ITEMS = 120
NOW = 1_500_000_000
DAY = 86_400


@dataclass(frozen=True)
class World:
    """One release's artifacts and a clock."""

    artifacts: RetrievalArtifacts
    clock: FakeClock

    def query(self, excluded: tuple[int, ...] = (), budget_us: int = 50_000) -> Query:
        """A query for ten items at NOW."""
        deadline = Deadline.after_us(self.clock, budget_us)
        rows = np.array(excluded, np.int64)
        return Query("r1", "u1", 10, NOW, deadline, excluded_rows=rows)

    def user(self, rows: tuple[int, ...], segment_row: int = 0) -> UserContext:
        """A user who bought each row once, the first most recently."""
        if not rows:
            return UserContext.unknown("u1")
        times = NOW - DAY * np.arange(1, len(rows) + 1)
        keys = entity_keys(f"item{row}" for row in rows)
        history = UserHistory.from_events(keys, times)
        return UserContext("u1", history, np.array(rows, np.int64), segment_row)

    def request(self, limit: int, budget_us: int = 20_000) -> SourceRequest:
        """A source's share of a plan."""
        return SourceRequest(limit, 64, Deadline.after_us(self.clock, budget_us))


def make_artifacts(seed: int = 3) -> RetrievalArtifacts:
    """Artifacts of NUM_ITEMS items with 8 + 8 + 1 dimensions."""
    rng = np.random.default_rng(seed)
    n = NUM_ITEMS

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    small = np.float32(0.01)
    flat = CategoryAffinity.of_buyers(np.zeros(n, np.int32), np.ones(n, np.int64), 0.1)

    fixed, trained = normal(n, 8), normal(n, 8)
    space_hash = np.frombuffer(bytes([seed]) * 32, np.uint8)
    tower = UserTower(
        fixed_vectors=fixed,
        trained_vectors=trained,
        hidden_weight=normal(6, 8),
        hidden_bias=normal(6),
        output_weight=normal(8, 6),
        output_bias=normal(8),
        gain=np.array([0.5], np.float32),
        space_hash=space_hash,
    )
    vectors = np.concatenate([fixed, trained, normal(n, 1)], axis=1)
    options = HnswOptions("inner_product", space_hash=space_hash.tobytes())
    index = HnswIndex.build(vectors, np.arange(n), options)
    neighbours = np.stack([(np.arange(n) + step) % n for step in (1, 2, 3)], axis=1)
    neighbours[5, 2] = -1
    weights = np.tile(np.array([3.0, 2.0, 1.0], np.float32), (n, 1))
    weights[5, 2] = 0.0
    model = CoOccurrenceModel(
        normal(n, 4) * small,
        normal(n, 4) * small,
        neighbours.astype(np.int32),
        weights,
        flat,
    )
    return RetrievalArtifacts(tower, index, model, make_lists())


def make_lists() -> PopularLists:
    """Global list 0, 1, 2 ...; segment "north" likes 50 and 51; trending 90, 91, 92.

    New are 110, 105 and 111.
    """
    rows = np.arange(40, dtype=np.int32)
    scores = np.linspace(40, 1, 40, dtype=np.float32)
    segment_rows = np.full((2, 40), -1, np.int32)
    segment_scores = np.zeros((2, 40), np.float32)
    segment_rows[0], segment_scores[0] = rows, scores
    segment_rows[1, :2], segment_scores[1, :2] = (50, 51), (9.0, 8.0)
    return PopularLists(
        rows,
        scores,
        segment_rows,
        segment_scores,
        np.array([90, 91, 92], np.int32),
        np.array([3.0, 2.0, 1.0], np.float32),
        ("", "north"),
        np.array([110, 105, 111], np.int32),
    )


@pytest.fixture(scope="session")
def artifacts() -> RetrievalArtifacts:
    return make_artifacts()


@pytest.fixture
def world(artifacts: RetrievalArtifacts) -> World:
    return World(artifacts, FakeClock(NOW))
