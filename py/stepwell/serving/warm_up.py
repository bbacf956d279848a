"""Runs an engine until it answers at full speed, before any caller sees it."""

from collections.abc import Sequence

import numpy as np

from stepwell.base.deadline import Deadline
from stepwell.base.pace import AT_ONCE, Pace
from stepwell.degradation.tier import BEST_FIRST
from stepwell.pipeline.executor import Executor
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary
from stepwell.serving.engine import Engine
from stepwell.serving.recent_queries import RecentQuery

HISTORY_LENGTHS = (0, 10, 150, 800)
"""Items of the made-up users: a stranger, a newcomer, a regular, a heavy user."""

NUM_ROUNDS = 5
_BUDGET_US = 10_000_000
_DAY_SECONDS = 86_400
_EVENTS_PER_ITEM = 2


class _MadeUpUsers:
    """Users whose id is the number of items they bought."""

    def __init__(self, vocabulary: Vocabulary, event_time: int) -> None:
        self._vocabulary = vocabulary
        self._event_time = event_time

    def hydrate(self, query: Query, deadline: Deadline) -> UserContext:
        """Returns the context of a made-up user; the same one every time."""
        deadline.check("hydrate")
        wanted = min(int(query.user_id), len(self._vocabulary))
        if not wanted:
            return UserContext.unknown(query.user_id)
        random = np.random.default_rng(wanted)
        rows = random.choice(len(self._vocabulary), wanted, replace=False)
        keys = np.tile(self._vocabulary.keys[rows], _EVENTS_PER_ITEM)
        days = random.integers(1, 200, len(keys))
        history = UserHistory.from_events(keys, self._event_time - days * _DAY_SECONDS)
        history_rows = self._vocabulary.rows_of_keys(history.keys)
        return UserContext(query.user_id, history, history_rows)


def warm_up(
    engine: Engine,
    event_time: int,
    num_rounds: int = NUM_ROUNDS,
    pace: Pace = AT_ONCE,
) -> None:
    """Answers made-up users at every tier; nothing of it is remembered.

    Args:
        engine: of a release that is complete but for this.
        event_time: "now" of the made-up requests, unix seconds.
        num_rounds: answers by tier and user.
        pace: how fast.
    Raises:
        StepwellError: a stage fails: such a release must not go live.
    Cost: about 12 ms a round.
    """
    users = _MadeUpUsers(engine.facts.vocabulary, event_time)
    executor = engine.executor.with_query_hydrator(users)
    asked = [RecentQuery(str(length), 10, "") for length in HISTORY_LENGTHS]
    for _ in range(num_rounds):
        _ask(executor, engine, asked, event_time, pace)


def replay(
    engine: Engine, recent: Sequence[RecentQuery], event_time: int, pace: Pace = AT_ONCE
) -> None:
    """Answers what callers asked of late at every tier, and keeps no answer.

    It touches the pages that they will need: their users' items, and those near them.

    Args: as those of warm_up.
    Raises: as warm_up.
    Cost: as much as the same answers to callers.
    """
    _ask(engine.executor, engine, recent, event_time, pace)


def _ask(
    executor: Executor,
    engine: Engine,
    asked: Sequence[RecentQuery],
    event_time: int,
    pace: Pace,
) -> None:
    for tier in BEST_FIRST:
        for one in asked:
            query = Query(
                request_id="warm-up",
                user_id=one.user_id,
                num_items=one.num_items,
                event_time=event_time,
                deadline=Deadline.after_us(engine.clock, _BUDGET_US),
                surface=one.surface,
            )
            executor.run(query, tier)
            pace.step()
