"""The join by SQL is the one of `feedback.attribution`, row for row."""

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.feedback.attribution import ShownOutcome, Unattributed, attribute
from stepwell.schema.events import EventType
from stepwell.training.impression_rows import OUTCOMES, attribution_statements
from stepwell.training.impression_rows_tables import FEEDBACK, SHOWN, TableWriter
from stepwell_pb.v1 import common_pb2, feedback_pb2

WINDOW = 100
Outcome = tuple[str, str, str, int, int, frozenset[int], float, int]


def joined(
    folder: Path,
    impressions: list[feedback_pb2.Impression],
    events: list[feedback_pb2.Event],
    as_of_seconds: int,
) -> tuple[list[Outcome], dict[str, int]]:
    shown, feedback = folder / "shown.parquet", folder / "feedback.parquet"
    with TableWriter(shown, SHOWN) as writer:
        for line, slate in enumerate(impressions):
            head = (line, slate.request_id, slate.user_id)
            tail = (slate.event_time_seconds, 0, slate.tier, "v1")
            ids = [item.item_id for item in slate.items]
            items: list[str | None] = [*ids] or [None]
            for place, item in enumerate(items):
                writer.add((*head, item, place, *tail, 0.5, 1.0, None, None, None))
    with TableWriter(feedback, FEEDBACK) as writer:
        for line, e in enumerate(events):
            who = (line, e.event_id, e.user_id, e.item_id, e.event_type)
            writer.add((*who, e.event_time_seconds, 0, e.value, e.request_id))
    with duckdb.connect() as connection:
        connection.read_parquet(str(shown)).create_view("shown")
        connection.read_parquet(str(feedback)).create_view("feedback")
        for name, query in attribution_statements(WINDOW, as_of_seconds):
            connection.execute(f"CREATE TEMP TABLE {name} AS {query}")
        kinds = ", ".join(OUTCOMES)
        rows = connection.execute(
            "SELECT request_id, user_id, item_id, position, event_time, value,"
            f" delay_seconds, {kinds} FROM outcomes ORDER BY line, position"
        ).fetchall()
        causes = connection.execute("SELECT * FROM unattributed").fetchall()
    found = []
    for row in rows:
        pairs = zip(EventType, row[7:], strict=True)
        types = frozenset(int(kind) for kind, is_there in pairs if is_there)
        found.append((*row[:5], types, *row[5:7]))
    return found, dict(causes)


def plain(row: ShownOutcome) -> Outcome:
    return (
        row.request_id,
        row.user_id,
        row.item_id,
        row.position,
        row.shown_time_seconds,
        frozenset(int(kind) for kind in row.outcomes),
        row.value,
        row.delay_seconds,
    )


def impression(request: str, user: str, time: int, items: str) -> object:
    return feedback_pb2.Impression(
        request_id=request,
        user_id=user,
        event_time_seconds=time,
        tier=common_pb2.TIER_FULL,
        items=[feedback_pb2.ShownItem(item_id=item, score=0.5) for item in items],
    )


def event(
    number: int, request: str, user: str, item: str, kind: int, time: int
) -> object:
    return feedback_pb2.Event(
        event_id=f"e{number}",
        user_id=user,
        item_id=item,
        event_type=common_pb2.EventType.Name(kind),
        event_time_seconds=time,
        value=2.5,
        request_id=request,
    )


slates = st.builds(
    impression,
    st.sampled_from("rst"),
    st.sampled_from("uv"),
    st.integers(0, 300),
    st.sampled_from(["abc", "a", "", "aab"]),
)
happened = st.builds(
    event,
    st.integers(0, 9),
    st.sampled_from(["r", "s", "q", ""]),
    st.sampled_from("uv"),
    st.sampled_from("abz"),
    st.sampled_from([int(kind) for kind in EventType]),
    st.integers(0, 500),
)


@settings(max_examples=25)
@given(st.lists(slates, max_size=5), st.lists(happened, max_size=25))
def test_the_rows_and_what_is_left_over_are_those_of_the_plain_join(
    tmp_path_factory: pytest.TempPathFactory,
    shown: list[feedback_pb2.Impression],
    events: list[feedback_pb2.Event],
) -> None:
    right = attribute(shown, events, WINDOW, as_of_seconds=350)
    folder = tmp_path_factory.mktemp("tables")
    rows, causes = joined(folder, shown, events, as_of_seconds=350)
    assert sorted(rows, key=repr) == sorted(map(plain, right.rows), key=repr)
    assert causes == {cause.name: n for cause, n in right.unattributed.items()}


def test_every_cause_is_one_that_the_plain_join_knows() -> None:
    text = dict(attribution_statements(WINDOW, 0))["judged"]
    assert all(f"'{cause.name}'" in text for cause in Unattributed)


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="window_seconds is 0, must be pos"):
        attribution_statements(0, 0)
