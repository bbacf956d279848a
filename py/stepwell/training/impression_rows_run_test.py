"""From a log, or a folder of events, to rows: what a row has, and when it is one."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.feedback.stream_fold import activity_after
from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.training.impression_rows_fixture import (
    CLICK,
    DAY,
    US,
    events_folder,
    logged,
    options,
    reaction,
    run,
    slate,
)
from stepwell.training.impression_rows_run import WORK, forget_work, write_rows
from stepwell.training.impression_rows_writer import Resources
from stepwell.training.point_in_time_check import check_rows, num_different_by_polars
from stepwell_pb.v1 import common_pb2

PURCHASE = common_pb2.EVENT_TYPE_PURCHASE


def test_a_row_of_the_log_has_its_outcome_and_what_was_known_when_it_was_shown(
    tmp_path: Path,
) -> None:
    source = logged(
        tmp_path / "log",
        [
            (reaction(0, "", 90), 100 * US),
            (slate("r", 200), 200 * US),
            (reaction(1, "r", 250), 260 * US),
            (reaction(2, "r", 260, PURCHASE), 270 * US),
            # It came late: of a time before the second slate, and not known to it.
            (slate("s", 300), 300 * US),
            (reaction(3, "", 280), 9_000 * US),
        ],
    )
    report, rows = run(tmp_path / "rows", options(source), as_of=2_000)
    assert report.unattributed == {"NO_REQUEST": 2}
    assert rows["request_id"].to_list() == ["r", "r", "s", "s"]
    assert rows["is_click"].to_list() == [True, False, False, False]
    assert rows["is_purchase"].to_list() == [True, False, False, False]
    assert rows["value"].to_list() == [6.0, 0.0, 0.0, 0.0]
    assert rows["delay_seconds"].to_list() == [50, -1, -1, -1]
    assert rows["propensity"].to_list() == [0.25] * 4
    assert rows["user_activity:event_timestamp"].to_list() == [90, 90, 260, 260]
    body = bytes(USER_ACTIVITY.row_dtype.itemsize)
    for kind, time in ((CLICK, 90), (CLICK, 250), (PURCHASE, 260)):
        body = activity_after(body, kind, time, 3.0)
    known = FeatureRow(USER_ACTIVITY, body, 260, 0).values
    for name in USER_ACTIVITY.row_dtype.names or ():
        assert rows[f"user_activity:{name}"][2] == known[name], name
    assert rows["item_activity:event_timestamp"].to_list() == [90, None, 260, None]


def test_features_as_served_and_slates_of_nothing_are_in_the_tables(
    tmp_path: Path,
) -> None:
    served, empty = slate("r", 200), slate("s", 300)
    del empty.items[:]
    served.served.schema_hash = b"\x0f" * 32
    served.served.dense = np.array([[1, 2], [3, np.nan]], "<f4").tobytes()
    served.served.sparse = np.array([[7], [-1]], "<i8").tobytes()
    lines = [(served, 200 * US), (empty, 300 * US), (reaction(1, "s", 310), 310 * US)]
    source = logged(tmp_path / "log", [*lines])
    report, rows = run(tmp_path / "rows", options(source), as_of=5_000)
    assert report.unattributed == {"NOT_SHOWN": 1}
    assert rows["served_schema"].to_list() == ["0f" * 32] * 2
    assert rows["served_sparse"].to_list() == [[7], [-1]]
    assert np.isnan(rows["served_dense"][1][1])
    assert rows["served_dense"][0].to_list() == [1.0, 2.0]


def test_a_click_dated_tomorrow_ends_no_window_of_today(tmp_path: Path) -> None:
    lines: list[tuple[object, int]] = [
        (slate("r", 100), 100 * US),
        (slate("s", 1_099), 1_099 * US),
        (reaction(1, "", 1_100 + DAY), 1_100 * US),
    ]
    source = logged(tmp_path / "log", lines)
    assert run(tmp_path / "rows", options(source))[0].num_rows == 0
    logged(tmp_path / "log", [(slate("t", 1_100), 1_100 * US)])
    assert run(tmp_path / "rows", options(source))[1]["request_id"][0] == "r"


def test_a_log_in_which_nothing_was_shown_yet_has_no_rows(tmp_path: Path) -> None:
    source = logged(tmp_path / "log", [(reaction(1, "", 100), 100 * US)])
    assert run(tmp_path / "rows", options(source), as_of=DAY)[0].num_rows == 0
    logged(tmp_path / "log", [(slate("r", 200), 200 * US)])
    _, rows = run(tmp_path / "rows", options(source), as_of=DAY)
    assert rows["request_id"].to_list() == ["r", "r"]


def test_a_run_that_was_interrupted_uses_what_it_had_prepared(tmp_path: Path) -> None:
    source = logged(tmp_path / "log", [(slate("r", 100), 100 * US)])
    out = tmp_path / "rows"
    run(out, options(source), as_of=90)
    sign = out / WORK / "sign"
    sign.touch()
    assert run(out, options(source), as_of=5_000)[0].num_rows == 2
    assert sign.exists()
    # What a power cut left of the mark is no mark.
    (out / WORK / "tables.json").write_text("")
    assert run(out, options(source), as_of=5_000)[0].num_rows == 2
    assert not sign.exists()
    logged(tmp_path / "log", [(slate("s", 200), 200 * US)])
    assert run(out, options(source), as_of=5_000)[0].num_rows == 4
    forget_work(out)
    assert not (out / WORK).exists()


def test_events_of_a_folder_see_what_came_before_their_second(tmp_path: Path) -> None:
    source = events_folder(tmp_path / "data")
    report, rows = run(tmp_path / "rows", options(source))
    assert report.num_rows == 3
    assert rows["event_type"].to_list() == [
        int(EventType.PURCHASE),
        int(EventType.PURCHASE),
        int(EventType.CLICK),
    ]
    assert rows["user_activity:event_timestamp"].to_list() == [None, None, 100]
    assert rows["item_activity:purchase_decayed_1h"].to_list() == [None, None, 1.0]
    with pytest.raises(InvalidArgumentError, match="would see itself"):
        run(tmp_path / "other", options(source, check_ingestion=False))


def test_impressions_of_a_folder_are_slates(tmp_path: Path) -> None:
    extra = "u,b,150,impression,,r,1\nu,a,150,impression,,r,0\nu,a,155,click,,r,0\n"
    source = events_folder(tmp_path / "data", extra)
    _, rows = run(tmp_path / "rows", options(source), as_of=5_000)
    assert rows.select("item_id", "position", "is_click").rows() == [
        ("a", 0, True),
        ("b", 1, False),
    ]
    assert rows["user_activity:event_timestamp"].to_list() == [100, 100]


def test_history_from_before_the_log_is_in_the_features(tmp_path: Path) -> None:
    history = events_folder(tmp_path / "data")
    source = logged(tmp_path / "log", [(slate("r", 200), 200 * US)])
    _, rows = run(tmp_path / "rows", options(source, history=history), as_of=5_000)
    assert rows["user_activity:event_timestamp"].to_list() == [160, 160]
    assert rows.height == 2


def test_views_of_a_folder_are_joined_as_they_were_created(tmp_path: Path) -> None:
    source = logged(tmp_path / "log", [(slate("r", 200), 200 * US)])
    folder = tmp_path / "views"
    folder.mkdir()
    view = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "event_timestamp": [50, 50],
            "created_timestamp": [60 * US, 300 * US],
            "price": [1.5, 2.5],
        }
    )
    view.write_parquet(folder / "prices.parquet")
    with_views = options(source, features=str(folder))
    _, rows = run(tmp_path / "rows", with_views, as_of=5_000)
    assert rows["prices:price"].to_list() == [1.5, None]
    view.cast({"price": pl.Float32}).write_parquet(folder / "prices.parquet")
    with pytest.raises(FailedPreconditionError, match="rows of view prices"):
        run(tmp_path / "rows", with_views, as_of=5_000)
    (folder / "prices.parquet").rename(folder / "item_activity.parquet")
    with pytest.raises(InvalidArgumentError, match="item_activity is made here"):
        run(tmp_path / "rows", with_views)


def test_the_check_finds_a_row_that_sees_the_future(tmp_path: Path) -> None:
    source, out = events_folder(tmp_path / "data"), tmp_path / "rows"
    _, prepared = write_rows(out, options(source), Resources(), lambda *_: None)
    view = prepared.views[0]
    part = out / "1970-01-01.parquet"
    right = check_rows([part], view, 10)
    assert num_different_by_polars([part], view) == 0
    assert (right.num_entities, right.num_rows) == (1, 3)
    assert (right.num_leaked, right.num_different) == (0, 0)
    late = {
        f"{view.name}:event_timestamp": pl.lit(160),
        f"{view.name}:created_timestamp": pl.lit(150 * US),
    }
    pl.read_parquet(part).with_columns(**late).write_parquet(part)
    wrong = check_rows([part], view, 10)
    assert (wrong.num_leaked, wrong.num_different) == (2, 3)
    assert num_different_by_polars([part], view) == 3


def test_says_what_it_did_not_find(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds neither an event log nor"):
        run(tmp_path / "rows", options(str(tmp_path)))
    data = events_folder(tmp_path / "data")
    with pytest.raises(InvalidArgumentError, match="of a folder have their own"):
        run(tmp_path / "rows", options(data, history=data))
