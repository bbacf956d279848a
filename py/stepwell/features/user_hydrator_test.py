"""Reading a user: fresh, missing, stale and damaged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import DeadlineExceededError, UnavailableError
from stepwell.base.metric_names import DAMAGED_HISTORIES
from stepwell.base.metrics import Metrics
from stepwell.features.catalogue import DAY_SECONDS, USER_HISTORY_VIEW
from stepwell.features.user_hydrator import UserHydrator
from stepwell.pipeline.query import Query
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary
from stepwell.stores.key_value_store import Guard

VIEW = USER_HISTORY_VIEW.name


class _Memory:
    """Blobs of one view in a dict; down when `blobs` is None."""

    def __init__(self, blobs: dict[str, bytes] | None) -> None:
        self.blobs = blobs
        self.timeout_us: int | None = None

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        assert view == VIEW
        self.timeout_us = timeout_us
        if self.blobs is None:
            raise UnavailableError("the store is down")
        return [self.blobs.get(key) for key in keys]

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        raise AssertionError("a request writes nothing")

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        raise AssertionError("a request writes nothing")

    def close(self) -> None:
        pass


def _hydrator(blobs: dict[str, bytes] | None, vocabulary: Vocabulary) -> UserHydrator:
    return UserHydrator(_Memory(blobs), vocabulary, ["", "south", "north"])


def test_a_known_user_comes_with_rows_segment_and_age(
    query: Query, history: UserHistory, vocabulary: Vocabulary
) -> None:
    hydrator = _hydrator({"ann": history.pack()}, vocabulary)
    user = hydrator.hydrate(query, query.deadline)
    assert user.history_rows.tolist() == [0, 3]
    assert user.segment_row == 2
    assert not user.is_cold
    assert user.feature_age_ms == {VIEW: 10 * DAY_SECONDS * 1_000}
    assert user.defaulted == user.stale == ()


@pytest.mark.parametrize(
    ("left_us", "stage_us", "limit_us"),
    [(20_000, 1_500, 18_000), (3_000, 1_500, 1_500), (1_900, 900, 900)],
)
def test_the_read_has_all_time_but_what_an_answer_from_memory_takes(
    query: Query, vocabulary: Vocabulary, left_us: int, stage_us: int, limit_us: int
) -> None:
    store = _Memory({})
    whole = query.deadline.sooner_us(left_us)
    hydrator = UserHydrator(store, vocabulary, [""])
    hydrator.hydrate(replace(query, deadline=whole), whole.sooner_us(stage_us))
    assert store.timeout_us == limit_us


def test_an_unknown_user_is_cold_and_named_defaulted(
    query: Query, vocabulary: Vocabulary
) -> None:
    user = _hydrator({}, vocabulary).hydrate(query, query.deadline)
    assert user.is_cold
    assert user.defaulted == (VIEW,)
    assert user.stale == ()
    assert user.feature_age_ms == {}


@pytest.mark.parametrize(("late_seconds", "is_stale"), [(0, False), (1, True)])
def test_state_past_its_freshness_window_is_not_used(
    query: Query,
    history: UserHistory,
    vocabulary: Vocabulary,
    late_seconds: int,
    is_stale: bool,
) -> None:
    window = USER_HISTORY_VIEW.freshness_seconds
    at = history.last_event_time + window + late_seconds
    hydrator = _hydrator({"ann": history.pack()}, vocabulary)
    user = hydrator.hydrate(replace(query, event_time=at), query.deadline)
    assert user.is_cold is is_stale
    assert len(user.history) == (0 if is_stale else 2)
    assert user.stale == ((VIEW,) if is_stale else ())
    assert user.feature_age_ms == {VIEW: (window + late_seconds) * 1_000}
    assert user.segment_row == 2


def test_a_damaged_blob_is_as_good_as_none_and_is_counted(
    query: Query, history: UserHistory, vocabulary: Vocabulary
) -> None:
    metrics = Metrics()
    store = _Memory({"ann": history.pack()[:-3]})
    hydrator = UserHydrator(store, vocabulary, [""], metrics=metrics)
    with capture_logs() as lines:
        user = hydrator.hydrate(query, query.deadline)
    assert user.is_cold
    assert user.defaulted == (VIEW,)
    assert metrics.value(DAMAGED_HISTORIES) == 1
    assert [line["event"] for line in lines] == ["a stored user history is damaged"]
    assert "ann" not in str(lines)


def test_items_the_release_does_not_know_have_no_row(
    query: Query, vocabulary: Vocabulary
) -> None:
    keys = np.array([vocabulary.keys[4], 99], np.uint64)
    state = UserHistory.from_events(keys, np.array([query.event_time - 5, 10]))
    user = _hydrator({"ann": state.pack()}, vocabulary).hydrate(query, query.deadline)
    assert user.history_rows.tolist() == [4, -1]


def test_a_store_that_is_down_is_the_executors_to_answer(
    query: Query, vocabulary: Vocabulary
) -> None:
    with pytest.raises(UnavailableError):
        _hydrator(None, vocabulary).hydrate(query, query.deadline)


def test_nothing_is_read_after_the_deadline(
    query: Query, vocabulary: Vocabulary
) -> None:
    late = Deadline.after_us(FakeClock(), -1)
    with pytest.raises(DeadlineExceededError):
        _hydrator(None, vocabulary).hydrate(query, late)
