"""Logs and folders of events for tests of training rows, and a run over them."""

from pathlib import Path

import polars as pl

from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.training.impression_rows_run import write_rows
from stepwell.training.impression_rows_writer import (
    Resources,
    RowsOptions,
    RowsReport,
)
from stepwell_pb.v1 import common_pb2, feedback_pb2

DAY = 86_400
US = 1_000_000
CLICK = common_pb2.EVENT_TYPE_CLICK


def slate(request: str, time: int) -> feedback_pb2.Impression:
    """Returns a slate of the items a and b, shown to u."""
    return feedback_pb2.Impression(
        request_id=request,
        user_id="u",
        event_time_seconds=time,
        tier=common_pb2.TIER_FULL,
        release_id="v000001",
        items=[
            feedback_pb2.ShownItem(item_id=item, score=0.5, propensity=0.25)
            for item in "ab"
        ],
    )


def reaction(
    number: int, request: str, time: int, kind: common_pb2.EventType = CLICK
) -> feedback_pb2.Event:
    """Returns what u did with a."""
    return feedback_pb2.Event(
        event_id=f"e{number}",
        user_id="u",
        item_id="a",
        event_type=kind,
        event_time_seconds=time,
        value=3.0,
        request_id=request,
    )


def logged(folder: Path, lines: list[tuple[object, int]]) -> str:
    """Appends lines, each with when it was taken in, to a log; returns where it is."""
    log = LmdbEventLog(folder)
    for event, taken_in_us in lines:
        if isinstance(event, feedback_pb2.Impression):
            log.append([impression_record(event, taken_in_us)])
        elif isinstance(event, feedback_pb2.Event):
            log.append([event_record(event, taken_in_us)])
    log.close()
    return str(folder)


def run(
    out: Path, options: RowsOptions, as_of: int | None = None
) -> tuple[RowsReport, pl.DataFrame]:
    """Writes rows; returns the report and all rows of the folder."""
    report, _ = write_rows(out, options, Resources(), lambda *_: None, as_of)
    parts = sorted(out.glob("*.parquet"))
    rows = pl.concat([pl.read_parquet(p) for p in parts]) if parts else pl.DataFrame()
    return report, rows


def options(source: str, **changes: object) -> RowsOptions:
    """Returns options with a window of 1,000 s."""
    fields: dict[str, object] = {"source": source, "window_seconds": 1_000, **changes}
    return RowsOptions(**fields)  # type: ignore[arg-type]


def events_folder(folder: Path, extra: str = "") -> str:
    """Makes a folder of three events and more lines; returns where it is."""
    folder.mkdir()
    (folder / "events.csv").write_text(
        "user_id,item_id,event_time,event_type,value,request_id,position\n"
        "u,a,100,purchase,2.5,,\nu,b,100,purchase,1,,\nu,a,160,click,,,\n" + extra
    )
    return str(folder)
