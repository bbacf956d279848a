"""Training rows with features, a Parquet file a day: what is done stays done."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from stepwell.base.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    check_range,
)
from stepwell.stores.redaction import without_secrets
from stepwell.training.impression_rows import EVENT_ROWS, attribution_statements
from stepwell.training.impression_rows_days import (
    DAY_SECONDS,
    Day,
    WrittenDays,
    day_name,
)
from stepwell.training.impression_rows_tables import FEEDBACK_FILE, SHOWN_FILE
from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    PointInTimeJoin,
    ViewTable,
)

_BATCH_ROWS = 200_000
_AMOUNT = re.compile(r"\d{1,6}(\.\d{1,3})?[KMGT]i?B")
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class RowsOptions:
    """What the rows are; parts of different ones are not mixed.

    Attributes:
        source: where events came from.
        history: where the events before them came from, "" for none.
        features: a folder of views beside those of the stream, "" for none.
        window_seconds: an event answers a slate so long after it, > 0.
        check_ingestion: features are seen from when they were created on.
    """

    source: str
    history: str = ""
    features: str = ""
    window_seconds: int = 7 * DAY_SECONDS
    check_ingestion: bool = True


@dataclass(frozen=True, slots=True)
class Resources:
    """What the join may take.

    Attributes:
        memory_limit: such as "2GiB" or "500MB"; what is more goes to the disk.
        num_threads: 1 to 256.
    Raises:
        InvalidArgumentError: one of them is none of that.
    """

    memory_limit: str = "2GiB"
    num_threads: int = 2

    def __post_init__(self) -> None:
        if not _AMOUNT.fullmatch(self.memory_limit):
            raise InvalidArgumentError(
                f"memory_limit is {self.memory_limit!r}, must be like 2GiB or 500MB",
                "memory_limit",
            )
        check_range("num_threads", self.num_threads, 1, 256)


@dataclass(slots=True)
class RowsReport:
    """What a run did.

    Attributes:
        num_rows: of all days of the folder.
        days_written, days_kept: parts made now, and done before.
        num_leaked: rows written now with a feature of a later time, or created later:
            0, or there is a defect.
        joined_by: rows by view and by how their feature was found, see LOOKS.
        unattributed: events that answer no slate, by cause.
    """

    num_rows: int = 0
    days_written: int = 0
    days_kept: int = 0
    num_leaked: int = 0
    joined_by: dict[str, dict[str, int]] = field(default_factory=dict)
    unattributed: dict[str, int] = field(default_factory=dict)


class RowsWriter:
    """Writes `out`/YYYY-MM-DD.parquet for each day with rows, and `out`/rows.json.

    A day is done when the windows of all its slates were over; later runs leave it
    alone. Days that are not done are written anew.

    Args:
        tables: folder with the tables of impression_rows_tables.
        views: feature rows over time.
        out: folder, made when missing.
        options, resources: see there.
    Raises:
        FailedPreconditionError: `out` has rows of other options.

    Concurrency: one thread, one writer a folder.
    """

    def __init__(
        self,
        tables: Path,
        views: tuple[ViewTable, ...],
        out: Path,
        options: RowsOptions,
        resources: Resources,
    ) -> None:
        self._tables = tables
        self._views = views
        self._out = out
        self._options = options
        self._resources = resources
        source = without_secrets(options.source)
        self._days = WrittenDays(out, {**asdict(options), "source": source})
        # An event is a row at once, a slate when its window is over.
        self._open_seconds = 0

    def write(self, as_of_seconds: int, progress: Progress) -> RowsReport:
        """Writes the days that are not done.

        Args:
            as_of_seconds: unix seconds; slates whose window is not over are left out.
            progress: called with a word and the done share, 0..1.
        Raises:
            InvalidArgumentError: nothing was shown, so that events are the rows, and
                `check_ingestion` is off: each would see itself.
            ResourceExhaustedError: the memory limit is too little.
        Cost: 1.5 M rows with 40 features take about a minute on two cores.
        """
        done = self._days.done()
        report = RowsReport(days_kept=len(done))
        with self._connected() as connection:
            progress("rows", 0.0)
            report.unattributed = self._ask(connection, as_of_seconds)
            batches = _batches(connection, done)
            join = PointInTimeJoin(
                connection, self._views, self._options.check_ingestion
            )
            for number, days in enumerate(batches, 1):
                self._join(connection, join, days, report)
                self._days.add(self._write(connection, days, as_of_seconds))
                report.days_written += len(days)
                progress("rows", number / len(batches))
        report.num_rows = self._days.num_rows
        return report

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        spill = self._out / ".spill"
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self._resources.memory_limit,
            "threads": self._resources.num_threads,
            "temp_directory": str(spill),
        }
        try:
            with duckdb.connect(config=config) as connection:
                yield connection
        except duckdb.OutOfMemoryException as error:
            limit, why = self._resources.memory_limit, str(error).splitlines()[0]
            raise ResourceExhaustedError(
                f"memory_limit {limit} is too little: {why}"
            ) from error
        finally:
            shutil.rmtree(spill, ignore_errors=True)

    def _ask(
        self, connection: duckdb.DuckDBPyConnection, as_of_seconds: int
    ) -> dict[str, int]:
        """Makes the table `asked`, the rows without features; returns what was left."""
        unattributed: dict[str, int] = {}
        for name, file in (("shown", SHOWN_FILE), ("feedback", FEEDBACK_FILE)):
            connection.read_parquet(str(self._tables / file)).create_view(name)
        rows = EVENT_ROWS
        if connection.execute("SELECT 1 FROM shown LIMIT 1").fetchall():
            window = self._options.window_seconds
            for name, query in attribution_statements(window, as_of_seconds):
                connection.execute(f"CREATE TEMP TABLE {name} AS {query}")
            causes = connection.execute("SELECT * FROM unattributed ORDER BY cause")
            unattributed = dict(causes.fetchall())
            rows = "SELECT * FROM outcomes"
            self._open_seconds = window
        elif not self._options.check_ingestion:
            raise InvalidArgumentError(
                "nothing was shown, so each event is a row, and would see itself when "
                "check_ingestion is off",
                "check_ingestion",
            )
        connection.execute(
            "CREATE TABLE asked AS SELECT row_number() OVER (ORDER BY event_time, line,"
            f" position) AS row_number, event_time // {DAY_SECONDS} AS day, *"
            f" FROM ({rows})"
        )
        return unattributed

    def _join(
        self,
        connection: duckdb.DuckDBPyConnection,
        join: PointInTimeJoin,
        days: list[int],
        report: RowsReport,
    ) -> None:
        """Makes the table `joined`, the rows of these days with features."""
        numbers = ", ".join(str(day) for day in days)
        connection.execute(
            "CREATE OR REPLACE TABLE batch AS SELECT * FROM asked"
            f" WHERE day IN ({numbers})"
        )
        for view, found in join.join("batch", "joined").items():
            total = report.joined_by.setdefault(view, {})
            total.update({look: total.get(look, 0) + n for look, n in found.items()})
        report.num_leaked += self._num_leaked(connection)

    def _num_leaked(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Counts rows that see what was not there yet, whatever the join thought."""
        is_leak = ["false"]
        for view in self._views:
            is_leak.append(f'"{view.name}:{EVENT_TIMESTAMP}" > event_time')
            if self._options.check_ingestion:
                created = f'"{view.name}:{CREATED_TIMESTAMP}"'
                is_leak.append(f"{created} > ingestion_time_us")
        query = f"SELECT count(*) FROM joined WHERE {' OR '.join(is_leak)}"
        return int(connection.execute(query).fetchall()[0][0])

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        days: list[int],
        as_of_seconds: int,
    ) -> dict[str, Day]:
        """Writes the parts of `joined`."""
        written = {}
        for day in days:
            part = self._out / f"{day_name(day)}.parquet"
            made = part.with_suffix(".tmp")
            rows = connection.sql(
                f"SELECT * EXCLUDE (row_number, day) FROM joined WHERE day = {day}"
                " ORDER BY row_number"
            )
            rows.write_parquet(str(made), compression="zstd")
            made.replace(part)
            num_rows = pq.read_metadata(part).num_rows
            over = (day + 1) * DAY_SECONDS + self._open_seconds
            written[part.stem] = Day(num_rows, over <= as_of_seconds)
        return written


def _batches(connection: duckdb.DuckDBPyConnection, done: set[str]) -> list[list[int]]:
    """Returns days to write in order, as many together as a join is worth."""
    found = connection.execute(
        "SELECT day, count(*) FROM asked GROUP BY day ORDER BY day"
    ).fetchall()
    batches: list[list[int]] = []
    room = 0
    for day, num_rows in found:
        if day_name(day) in done:
            continue
        if not batches or room < num_rows:
            batches.append([])
            room = _BATCH_ROWS
        batches[-1].append(day)
        room -= num_rows
    return batches
