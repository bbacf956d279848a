"""The verdict on stored rows: a table of what was found and what is made of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import DataLossError
from stepwell.features.row_verdict import RowJudge, RowState, UserRows
from stepwell.schema.feature_errors import SchemaMismatchError
from stepwell.schema.feature_registry import USER, USER_HISTORY
from stepwell.schema.feature_row import MAX_AHEAD_SECONDS, FeatureRow
from stepwell.schema.feature_view import Feature, FeatureView, Source, WhenStale
from stepwell.schema.history_row import history_of_row, history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.writer_watermark import WriterWatermark

NOW = 1_500_000_000
WALL_US = 1_700_000_000_000_000
SECOND_US = 1_000_000

VIEW = FeatureView(
    name="visits",
    entity=USER,
    source=Source.STREAM,
    features=(Feature("count", "float32", 0.0, "visits", 0.0, 1e9),),
    ttl_seconds=100,
    freshness_seconds=60,
    when_stale=WhenStale.DEFAULT,
    description="for tests",
)
OTHER = replace(VIEW, features=(*VIEW.features, replace(VIEW.features[0], name="more")))


def _blob(view: FeatureView = VIEW, event_time: int = NOW) -> bytes:
    values = view.default_row()
    values["count"] = 7
    return FeatureRow.of(view, values, event_time, event_time * SECOND_US).pack()


def _said(age_seconds: float) -> int:
    return WALL_US - int(age_seconds * SECOND_US)


def verdict(
    view: FeatureView, blob: bytes | None, said_us: int | None = WALL_US
) -> UserRows:
    said = None if said_us is None else WriterWatermark(said_us, 0).pack()
    blobs = [blob, said] if view.freshness_seconds else [blob]
    return RowJudge([view]).judged(blobs, "ann", NOW, WALL_US)


@pytest.mark.parametrize(
    ("age_seconds", "writer_seconds", "state"),
    [
        (0, 0.0, RowState.FRESH),
        (100, 60.0, RowState.FRESH),
        (101, 0.0, RowState.EXPIRED),
        (0, 60.000001, RowState.UNATTENDED),
        (101, 61.0, RowState.UNATTENDED),
        # Another ranker's event time is a little ahead, or its wall clock.
        (-MAX_AHEAD_SECONDS, -5.0, RowState.FRESH),
        (-MAX_AHEAD_SECONDS - 1, 0.0, RowState.FROM_FUTURE),
    ],
)
def test_a_row_is_used_when_it_and_its_writer_are_young_enough(
    age_seconds: int, writer_seconds: float, state: RowState
) -> None:
    blob = _blob(event_time=NOW - age_seconds)
    found = verdict(VIEW, blob, _said(writer_seconds))
    assert found.states == (state,)
    assert found.row_age_ms == {"visits": max(age_seconds, 0) * 1_000}
    assert found.writer_age_ms == {"visits": max(int(writer_seconds * 1_000), 0)}
    is_fresh = state is RowState.FRESH
    assert found.reads == (("visits", "ann", blob if is_fresh else None),)
    assert found.defaulted == (() if is_fresh else ("visits",))
    assert found.stale == (("visits",) if state.is_stale else ())
    assert [float(row["count"]) for row in found.rows.values()] == [7] * is_fresh


def test_the_row_that_is_used_can_not_be_written_to() -> None:
    row = verdict(VIEW, _blob()).rows["visits"]
    with pytest.raises(ValueError, match="read-only"):
        row["count"] = 8


@pytest.mark.parametrize("blob", [b"", _blob()[:-1], b"x" + _blob()[1:]])
def test_what_is_no_row_is_damaged(blob: bytes) -> None:
    found = verdict(VIEW, blob, _said(0))
    assert (found.states, found.rows) == ((RowState.DAMAGED,), {})


def test_a_row_of_another_definition_of_the_view_is_refused() -> None:
    found = verdict(VIEW, _blob(OTHER), _said(0))
    assert (found.states, found.rows) == ((RowState.OTHER_SCHEMA,), {})


def test_no_row_is_missing_and_its_writer_has_an_age_all_the_same() -> None:
    found = verdict(VIEW, None, _said(700))
    assert (found.states, found.row_age_ms) == ((RowState.MISSING,), {})
    assert found.writer_age_ms == {"visits": 700_000}


@pytest.mark.parametrize("dropping", [True, False])
def test_only_a_stale_row_of_a_view_that_says_so_drops_the_tier(dropping: bool) -> None:
    when_stale = WhenStale.DROP_TIER if dropping else WhenStale.BASELINE
    view = replace(VIEW, when_stale=when_stale)
    assert verdict(view, _blob(view, NOW - 101)).drops_tier is dropping
    assert not verdict(view, _blob(view)).drops_tier
    assert not verdict(view, None).drops_tier


def test_nobody_vouches_for_a_row_whose_writer_never_said_anything() -> None:
    found = verdict(VIEW, _blob(), None)
    assert (found.states, found.writer_age_ms) == ((RowState.UNATTENDED,), {})


def test_a_view_without_a_writer_that_must_live_goes_by_the_rows_age() -> None:
    by_hand = replace(VIEW, freshness_seconds=0)
    fresh, old = (
        verdict(by_hand, _blob(by_hand, NOW - age)).states for age in (100, 101)
    )
    assert (fresh, old) == ((RowState.FRESH,), (RowState.EXPIRED,))


def test_a_damaged_body_behind_a_good_header_is_damaged() -> None:
    row = FeatureRow(USER_HISTORY, b"SWUH?", NOW, 0)
    assert verdict(USER_HISTORY, row.pack()).states == (RowState.DAMAGED,)


def test_a_history_without_events_has_no_age_and_does_not_expire() -> None:
    blob = history_row(UserHistory.empty("north")).pack()
    found = verdict(USER_HISTORY, blob, _said(0))
    assert (found.states, found.row_age_ms) == ((RowState.FRESH,), {})
    assert found.history.segment == "north"
    assert found.defaulted == ("user_history",)


def test_of_a_stale_history_only_the_segment_is_used() -> None:
    blob = history_row(_history("north")).pack()
    found = verdict(USER_HISTORY, blob, None)
    assert found.states == (RowState.UNATTENDED,)
    assert (len(found.history), found.history.segment) == (0, "north")
    assert found.reads[0][2] == history_row(UserHistory.empty("north")).pack()
    nameless = verdict(USER_HISTORY, history_row(_history("")).pack(), None)
    assert nameless.reads[0][2] is None


def test_a_fresh_history_is_what_was_packed() -> None:
    packed = _history("nördlich")
    found = verdict(USER_HISTORY, history_row(packed).pack()).history
    assert found.pack() == packed.pack()
    assert not found.last_time.flags.writeable
    (later,) = (found.applied(3, NOW),)
    assert len(later) == len(found) + 1


def test_what_was_used_is_used_again_whatever_the_time_is_now() -> None:
    judge = RowJudge([VIEW])
    old = judge.used([_blob(event_time=1)], "ann")
    assert old.states == (RowState.FRESH,)
    assert old.row_age_ms == old.writer_age_ms == {}
    assert judge.used([None], "ann").states == (RowState.MISSING,)
    with pytest.raises(SchemaMismatchError):
        judge.used([_blob(OTHER)], "ann")
    with pytest.raises(DataLossError):
        judge.used([b"?"], "ann")


def _history(segment: str) -> UserHistory:
    keys = np.array([7, 8, 7], np.uint64)
    times = np.array([NOW - 9, NOW - 5, NOW - 2])
    return UserHistory.from_events(keys, times, segment=segment)


Ages = tuple[RowState, int | None, int | None]
"""State, and milliseconds of the row and of its writer."""


def _by_the_schema(
    view: FeatureView, blob: bytes | None, said_us: int, event_time: int
) -> Ages:
    """The verdict by the code that rows are written and listed with."""
    writer_us = max(WALL_US - said_us, 0)
    writer_ms = writer_us // 1_000
    if blob is None:
        return RowState.MISSING, None, writer_ms
    try:
        row = FeatureRow.unpack(view, blob)
        if view is USER_HISTORY:
            history_of_row(blob)
    except SchemaMismatchError:
        return RowState.OTHER_SCHEMA, None, writer_ms
    except DataLossError:
        return RowState.DAMAGED, None, writer_ms
    age = event_time - row.event_timestamp if row.event_timestamp else None
    age_ms = None if age is None else max(age, 0) * 1_000
    if age is not None and age < -MAX_AHEAD_SECONDS:
        state = RowState.FROM_FUTURE
    elif writer_us > view.freshness_seconds * SECOND_US:
        state = RowState.UNATTENDED
    elif age is not None and age > view.ttl_seconds:
        state = RowState.EXPIRED
    else:
        state = RowState.FRESH
    return state, age_ms, writer_ms


@st.composite
def stored(draw: st.DrawFn) -> tuple[FeatureView, bytes | None]:
    """A view and what a store might have of it: whole, bent, cut or not at all."""
    if draw(st.booleans()):
        view, blob = USER_HISTORY, history_row(_history(draw(st.text(max_size=4))))
    else:
        view, blob = VIEW, FeatureRow.unpack(VIEW, _blob())
    row = bytearray(replace(blob, event_timestamp=draw(near(NOW))).pack())
    for at in draw(st.lists(st.integers(0, len(row) - 1), max_size=2)):
        row[at] ^= draw(st.sampled_from([1, 0x20, 0x80, 0xFF]))
    end = draw(st.sampled_from([len(row)] * 4 + [0, 31, 32, 70, len(row) - 1]))
    return view, draw(st.sampled_from([bytes(row[:end])] * 6 + [None]))


def near(center: int) -> st.SearchStrategy[int]:
    """Times around a moment, as far as windows reach and beyond."""
    return st.integers(-40_000_000, 40_000_000).map(lambda ahead: center + ahead)


@given(stored(), st.integers(-700, 700), near(NOW))
def test_the_verdict_is_that_of_the_schemas_own_code(
    found: tuple[FeatureView, bytes | None], writer_seconds: int, event_time: int
) -> None:
    view, blob = found
    said_us = _said(writer_seconds)
    blobs = [blob, WriterWatermark(said_us, 0).pack()]
    rows = RowJudge([view]).judged(blobs, "ann", event_time, WALL_US)
    assert (
        rows.states[0],
        rows.row_age_ms.get(view.name),
        rows.writer_age_ms.get(view.name),
    ) == _by_the_schema(view, blob, said_us, event_time)
    if rows.states[0] is RowState.FRESH and view is USER_HISTORY and blob is not None:
        assert rows.history.pack() == history_of_row(blob).pack()


@given(st.binary(max_size=6))
def test_a_segment_is_text_where_python_says_so(segment: bytes) -> None:
    packed = bytearray(history_row(UserHistory.empty("x" * len(segment))).pack())
    packed[len(packed) - len(segment) :] = segment
    found = verdict(USER_HISTORY, bytes(packed))
    try:
        text = segment.decode()
    except UnicodeDecodeError:
        assert found.states == (RowState.DAMAGED,)
    else:
        assert (found.states, found.history.segment) == ((RowState.FRESH,), text)


@pytest.mark.parametrize("state", RowState)
def test_each_state_is_either_used_or_missing_or_stale_or_refused(
    state: RowState,
) -> None:
    one = [
        state is RowState.FRESH,
        state is RowState.MISSING,
        state.is_stale,
        state.is_refused,
    ]
    assert sum(one) == 1
