from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.metric_names import (
    SHADOW_OVERLAP,
    SHADOW_REQUESTS,
    SHADOW_SECONDS,
)
from stepwell.base.metrics import Metrics
from stepwell.degradation.controller import Arrival
from stepwell.degradation.tier import Tier
from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.releases.handle import Release, ReleaseHandle, ReleaseHolder
from stepwell.releases.manifest import Manifest
from stepwell.schema.vocabulary import Vocabulary
from stepwell.serving.call import Call
from stepwell.serving.engine import Engine
from stepwell.serving.item_labels import ItemNames
from stepwell.serving.responses import ReleaseFacts
from stepwell.serving.shadow import (
    MAX_AGE_US,
    MAX_WAITING,
    ShadowParts,
    ShadowRequest,
    ShadowRuns,
)
from stepwell.serving.shadow_log import RankedBy, ShadowLine
from stepwell.serving.slate_difference import ShownItems

CANDIDATE = 2
LIVE = RankedBy("v000001", Tier.REDUCED, 900, ShownItems(("a", "b"), (0.5, 0.25)))


class _Names:
    def name_of_row(self, row: int) -> str:
        return f"Item {row}"


@dataclass
class _Engine:
    """A candidate whose items lie in other rows than live's; it shows b and c."""

    facts: ReleaseFacts
    asked: list[tuple[Query, Tier]] = field(default_factory=list)

    def recommend(self, query: Query, tier: Tier) -> Slate:
        self.asked.append((query, tier))
        scores = np.array([0.25, 0.125], np.float32)
        rows = CandidateSet.of_rows(np.array([1, 0]))
        ranked = RankedSet(rows, scores, scores[:, None])
        return Slate(ranked, tier, stage_us={"ranking": 700})

    def known_rows(self, item_ids: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
        return Engine.known_rows(cast(Engine, self), item_ids)


@dataclass
class _Bench:
    clock: FakeClock
    metrics: Metrics
    engine: _Engine
    runs: ShadowRuns
    lines: list[ShadowLine]
    held: dict[int, ReleaseHolder[Engine]]

    def outcome(self, name: str) -> float:
        return self.metrics.value(SHADOW_REQUESTS, name)

    def asked(self, **changes: Any) -> ShadowRequest:
        arrival = Arrival(1_000, 200_000, 0, 0, None)
        call = Call("r", "ann", 2, arrival, excluded_item_ids=("c", "no such item"))
        query = Query(
            "r", "ann", 2, 77, Deadline(self.clock, 31_000), np.array([9]), **changes
        )
        now_us = self.clock.monotonic_us()
        return ShadowRequest(CANDIDATE, call, query, LIVE, now_us)


@pytest.fixture
def bench() -> Iterator[_Bench]:
    clock, metrics, lines = FakeClock(), Metrics(), list[ShadowLine]()
    clock.advance_us(50_000)
    vocabulary = Vocabulary.build(["c", "b", "a"])
    facts = ReleaseFacts("v000002", "ab", vocabulary, cast(ItemNames, _Names()))
    engine = _Engine(facts)
    manifest = cast(Manifest, SimpleNamespace(serial=CANDIDATE))
    release = Release(manifest, Path(), cast(Engine, engine))
    held = {CANDIDATE: ReleaseHolder(release, lambda: None)}

    def borrow(serial: int) -> ReleaseHandle[Engine] | None:
        holder = held.get(serial)
        return holder.try_borrow() if holder is not None else None

    parts = ShadowParts(borrow, lambda: True, lines.append)
    runs = ShadowRuns(parts, clock, metrics)
    yield _Bench(clock, metrics, engine, runs, lines, held)
    runs.close()


def test_asks_the_candidate_the_same_in_its_own_rows_and_with_as_much_time(
    bench: _Bench,
) -> None:
    bench.runs.run_one(bench.asked(is_replayable=True, is_cancelled=lambda: True))
    ((query, tier),) = bench.engine.asked
    assert tier is Tier.REDUCED
    assert query.excluded_rows.tolist() == [0]
    assert query.deadline.remaining_us() == 30_000
    assert query.event_time == 77
    # Nobody waits for it, so nobody can go away; and it is no answer to repeat.
    assert not query.is_cancelled()
    assert not query.is_replayable


def test_says_how_the_slates_differ(bench: _Bench) -> None:
    bench.runs.run_one(bench.asked())
    (line,) = bench.lines
    assert line.live is LIVE
    assert line.shadow.items.item_ids == ("b", "c")
    assert line.difference.overlap == 0.5
    assert line.difference.score_gap == 0.0
    assert bench.outcome("compared") == 1
    assert bench.metrics.value(SHADOW_OVERLAP) == 1
    assert bench.metrics.value(SHADOW_SECONDS, "shadow") == 1
    assert bench.held[CANDIDATE].num_borrowed == 0


def test_a_request_that_is_too_old_or_whose_candidate_is_gone_is_dropped(
    bench: _Bench,
) -> None:
    asked = bench.asked()
    bench.clock.advance_us(MAX_AGE_US + 1)
    bench.runs.run_one(asked)
    asked = bench.asked()
    bench.held.clear()
    bench.runs.run_one(asked)
    assert bench.outcome("dropped") == 2
    assert bench.lines == []


def test_requests_beyond_what_may_wait_are_dropped(bench: _Bench) -> None:
    asked = bench.asked()
    for _ in range(MAX_WAITING + 3):
        bench.runs.offer(CANDIDATE, asked.call, asked.query, LIVE)
    assert bench.outcome("dropped") == 3
    assert bench.engine.asked == []
