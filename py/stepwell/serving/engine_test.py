"""What an engine remembers of its answers."""

from typing import cast

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.degradation.slate_cache import SlateCache
from stepwell.degradation.tier import Tier
from stepwell.pipeline.candidate import CandidateSet, DrawnPlace, RankedSet
from stepwell.pipeline.executor import Executor
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.serving.engine import Engine
from stepwell.serving.responses import ReleaseFacts


class _Answering:
    """An executor that answers with one slate."""

    def __init__(self, slate: Slate) -> None:
        self._slate = slate

    def run(self, query: Query, tier: Tier) -> Slate:
        """The slate, whatever is asked."""
        del query, tier
        return self._slate


@pytest.mark.parametrize(
    ("drawn", "is_remembered"),
    [
        (None, True),
        (DrawnPlace(0, 0.9, is_explored=False), True),
        (DrawnPlace(0, 0.1, is_explored=True), False),
    ],
)
def test_remembers_no_slate_with_an_item_that_chance_put_there(
    drawn: DrawnPlace | None, is_remembered: bool
) -> None:
    clock, slates = FakeClock(), SlateCache(10, 1_000_000)
    scores = np.ones(1, np.float32)
    ranked = RankedSet(
        CandidateSet.of_rows(np.array([3])), scores, scores[:, None], drawn=drawn
    )
    executor = cast(Executor, _Answering(Slate(ranked, Tier.FULL)))
    engine = Engine(cast(ReleaseFacts, None), executor, slates, {}, clock)
    engine.recommend(Query("r", "ann", 1, 9, Deadline.after_us(clock, 9)), Tier.FULL)
    held = slates.fresh("ann", clock.monotonic_us())
    assert (held is not None) == is_remembered
