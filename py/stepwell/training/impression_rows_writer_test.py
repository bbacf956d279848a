"""What lies in the folder of rows stays right: whole, durable, and of one making."""

import json
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from stepwell.base.errors import (
    FailedPreconditionError,
    ResourceExhaustedError,
    StepwellError,
)
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.training import impression_rows_run
from stepwell.training.impression_rows_fixture import (
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
from stepwell.training.point_in_time import PointInTimeJoin
from stepwell.training.point_in_time_views import COLUMN_VIEWS


def test_a_day_that_is_done_is_kept_and_the_others_are_made_anew(
    tmp_path: Path,
) -> None:
    lines: list[tuple[object, int]] = [
        (slate("r", 100), 100 * US),
        (slate("s", DAY + 100), (DAY + 100) * US),
        (slate("t", 2 * DAY + 100), (2 * DAY + 100) * US),
    ]
    source, out = logged(tmp_path / "log", lines), tmp_path / "rows"
    report, rows = run(out, options(source))
    # The last slate waits for its window; its day and the one before may yet change.
    first_days = ["1970-01-01.parquet", "1970-01-02.parquet"]
    assert (report.num_rows, report.days_kept) == (4, 0)
    assert report.parts_written == first_days
    days = json.loads((out / "rows.json").read_text())["days"]
    assert days == {
        "1970-01-01": {"rows": 2, "done": True},
        "1970-01-02": {"rows": 2, "done": False},
    }
    first = (out / "1970-01-01.parquet").stat()
    logged(tmp_path / "log", [(reaction(1, "s", DAY + 200), (DAY + 200) * US)])
    report, rows = run(out, options(source), as_of=3 * DAY + 2_000)
    assert (report.num_rows, report.days_kept) == (6, 1)
    assert report.parts_written == ["1970-01-02.parquet", "1970-01-03.parquet"]
    assert rows["is_click"].to_list() == [False, False, True, False, False, False]
    assert (out / "1970-01-01.parquet").stat().st_ino == first.st_ino
    assert not run(out, options(source), as_of=3 * DAY + 2_000)[0].parts_written


def test_a_part_is_never_replaced_by_one_with_fewer_rows(tmp_path: Path) -> None:
    lines: list[tuple[object, int]] = [
        (slate("r", 100), 100 * US),
        (slate("s", 200), 200 * US),
    ]
    source, out = logged(tmp_path / "log", lines), tmp_path / "rows"
    run(out, options(source), as_of=1_200)
    with pytest.raises(FailedPreconditionError, match="has 4 rows and would get 2"):
        run(out, options(source), as_of=1_199)
    assert pl.read_parquet(out / "1970-01-01.parquet").height == 4


def test_a_day_that_the_log_has_forgotten_some_of_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    lines: list[tuple[object, int]] = [
        (slate("q", DAY + 100), (DAY + 100) * US),
        (reaction(1, "", 90), (DAY + 150) * US),
        (slate("r", DAY + 200), (DAY + 200) * US),
        (slate("s", 2 * DAY), 2 * DAY * US),
    ]
    source, out = logged(tmp_path / "log", lines), tmp_path / "rows"
    run(out, options(source), as_of=DAY + 1_200)
    log = LmdbEventLog(tmp_path / "log")
    log.trim(1)
    log.close()
    forget_work(out)
    report, rows = run(out, options(source), as_of=3 * DAY)
    assert (report.num_forgotten, report.days_cut) == (1, ["1970-01-02"])
    assert rows["request_id"].to_list() == ["q", "q", "r", "r", "s", "s"]


def test_rows_that_see_the_future_are_not_written_at_any_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(self: PointInTimeJoin, rows: str, out: str) -> dict[str, dict[str, int]]:
        found = join(self, rows, out)
        time = '"user_activity:event_timestamp"'
        self._connection.execute(f"UPDATE {out} SET {time} = event_time + 1")
        return found

    join = PointInTimeJoin.join
    monkeypatch.setattr(PointInTimeJoin, "join", late)
    source, out = events_folder(tmp_path / "data"), tmp_path / "rows"
    for _ in range(2):
        with pytest.raises(StepwellError, match="3 rows see the future"):
            run(out, options(source), as_of=5 * DAY)
        assert not list(out.glob("*.parquet"))


def test_a_part_is_on_disk_before_the_list_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    source, out = events_folder(tmp_path / "data"), tmp_path / "rows"
    monkeypatch.setattr(os, "fsync", fsync)
    run(out, options(source))
    at = [synced.index(name) for name in ("1970-01-01.parquet", ".parts", "rows")]
    at.append(next(n for n, name in enumerate(synced) if name.startswith("rows.json")))
    assert at == sorted(at)
    assert synced[-1] == "rows"


def test_rows_of_other_options_are_not_mixed(tmp_path: Path) -> None:
    source = logged(tmp_path / "log", [(slate("r", 100), 100 * US)])
    run(tmp_path / "rows", options(source), as_of=5_000)
    with pytest.raises(FailedPreconditionError, match="window_seconds 1000, not 60"):
        run(tmp_path / "rows", options(source, window_seconds=60))


def test_rows_of_views_that_changed_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = (
        logged(tmp_path / "log", [(slate("r", 100), 100 * US)]),
        tmp_path / "r",
    )
    run(out, options(source), as_of=5_000)
    sign = out / WORK / "sign"
    sign.touch()
    view, *others = COLUMN_VIEWS
    first, *features = view.view.features
    other = replace(view.view, features=(replace(first, default=1.0), *features))
    changed = (replace(view, view=other), *others)
    monkeypatch.setattr(impression_rows_run, "COLUMN_VIEWS", changed)
    with pytest.raises(FailedPreconditionError, match="rows of view user_activity"):
        run(out, options(source), as_of=5_000)
    assert not sign.exists()  # the features were folded anew


def test_rows_of_slates_do_not_follow_those_of_events(tmp_path: Path) -> None:
    source, out = events_folder(tmp_path / "data"), tmp_path / "rows"
    run(out, options(source))
    with (tmp_path / "data" / "events.csv").open("a") as file:
        file.write("u,b,150,impression,,r,1\n")
    with pytest.raises(FailedPreconditionError, match="kind 'events', not 'slates'"):
        run(out, options(source))


def test_a_limit_that_is_too_little_is_said_and_leaves_no_rows(tmp_path: Path) -> None:
    source, out = events_folder(tmp_path / "data"), tmp_path / "rows"
    with pytest.raises(ResourceExhaustedError, match="memory_limit 1MiB is too little"):
        write_rows(out, options(source), Resources("1MiB", 1), lambda *_: None)
    assert not list(out.glob("*.parquet"))
    assert run(out, options(source))[0].num_rows == 3
