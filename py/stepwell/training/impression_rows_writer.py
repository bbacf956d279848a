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
    StepwellError,
    check_range,
)
from stepwell.releases.durable_files import sync_folder, sync_tree
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.stores.redaction import without_secrets
from stepwell.training.impression_rows import EVENT_ROWS, attribution_statements
from stepwell.training.impression_rows_days import Day, WrittenDays, day_name
from stepwell.training.impression_rows_tables import (
    FEEDBACK_FILE,
    SHOWN_FILE,
    Prepared,
    RowKind,
)
from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    PointInTimeJoin,
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
        parts_written: names of the files made now, a day each.
        days_kept: how many were done before.
        num_forgotten: first lines that the log had lost; features lack them.
        days_cut: days not done that have rows and began before what is left of the log;
            they are not written.
        joined_by: rows by view and by how their feature was found, see LOOKS.
        unattributed: events that answer no slate, by cause.
    """

    num_rows: int = 0
    parts_written: list[str] = field(default_factory=list)
    days_kept: int = 0
    num_forgotten: int = 0
    days_cut: list[str] = field(default_factory=list)
    joined_by: dict[str, dict[str, int]] = field(default_factory=dict)
    unattributed: dict[str, int] = field(default_factory=dict)


class RowsWriter:
    """Writes `out`/YYYY-MM-DD.parquet for each day with rows, and `out`/rows.json.

    A day is done when the windows of all its slates were over; later runs leave it
    alone. Days that are not done are written anew, with as many rows as they had or
    more. A part is durable before rows.json names it.

    Args:
        prepared: tables and feature rows over time.
        out: folder, made when missing.
        options, resources: see there.
    Raises:
        FailedPreconditionError: `out` has rows of other options, of another kind, or of
            views of another schema.

    Concurrency: one thread, one writer a folder.
    """

    def __init__(
        self,
        prepared: Prepared,
        out: Path,
        options: RowsOptions,
        resources: Resources,
    ) -> None:
        self._prepared = prepared
        self._views = prepared.views
        self._out = out
        self._options = options
        self._resources = resources
        self._days = WrittenDays(
            out,
            {
                **asdict(options),
                "source": without_secrets(options.source),
                "kind": prepared.extent.kind.value,
                **{f"view {v.name}": [v.schema, v.ttl_seconds] for v in self._views},
            },
        )

    def write(self, as_of_seconds: int, progress: Progress) -> RowsReport:
        """Writes the days that are not done.

        Args:
            as_of_seconds: unix seconds; slates whose window is not over are left out.
            progress: called with a word and the done share, 0..1.
        Raises:
            InvalidArgumentError: events are the rows, and `check_ingestion` is off:
                each would see itself.
            FailedPreconditionError: a day would get fewer rows than it has.
            StepwellError: a row sees the future, which is a defect; the days joined
                with it are not written.
            ResourceExhaustedError: the memory limit is too little.
        Cost: 1.5 M rows with 40 features take about a minute on two cores.
        """
        report = RowsReport(
            days_kept=len(self._days.done()),
            num_forgotten=self._prepared.extent.num_forgotten,
        )
        with self._connected() as connection:
            progress("rows", 0.0)
            report.unattributed = self._ask(connection, as_of_seconds)
            batches = _batches(self._rows_of_open_days(connection, report))
            join = PointInTimeJoin(
                connection, self._views, self._options.check_ingestion
            )
            for number, days in enumerate(batches, 1):
                self._join(connection, join, days, report)
                written = self._write(connection, days, as_of_seconds)
                self._days.add(written)
                report.parts_written += [f"{name}.parquet" for name in written]
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
            connection.read_parquet(str(self._prepared.folder / file)).create_view(name)
        rows = EVENT_ROWS
        if self._prepared.extent.kind == RowKind.SLATES:
            window = self._options.window_seconds
            for name, query in attribution_statements(window, as_of_seconds):
                connection.execute(f"CREATE TEMP TABLE {name} AS {query}")
            causes = connection.execute("SELECT * FROM unattributed ORDER BY cause")
            unattributed = dict(causes.fetchall())
            rows = "SELECT * FROM outcomes"
        elif not self._options.check_ingestion:
            raise InvalidArgumentError(
                "nothing was shown, so each event is a row, and would see itself when "
                "check_ingestion is off",
                "check_ingestion",
            )
        connection.execute(
            "CREATE TABLE asked AS SELECT row_number() OVER (ORDER BY event_time, line,"
            f" position, item_id) AS row_number, event_time // {DAY_SECONDS} AS day, *"
            f" FROM ({rows})"
        )
        return unattributed

    def _rows_of_open_days(
        self, connection: duckdb.DuckDBPyConnection, report: RowsReport
    ) -> dict[int, int]:
        """Returns how many rows the days to write get; reports those that are cut."""
        query = "SELECT day, count(*) FROM asked GROUP BY day ORDER BY day"
        done = self._days.done()
        found = {
            day: num_rows
            for day, num_rows in connection.execute(query).fetchall()
            if day_name(day) not in done
        }
        whole_from = self._prepared.extent.whole_from
        whole = {day: n for day, n in found.items() if day * DAY_SECONDS >= whole_from}
        report.days_cut = [day_name(day) for day in found if day not in whole]
        self._days.check_growth({day_name(day): n for day, n in whole.items()})
        return whole

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
        self._check_leaks(connection, days)

    def _check_leaks(
        self, connection: duckdb.DuckDBPyConnection, days: list[int]
    ) -> None:
        """Refuses rows that see what was not there yet, whatever the join thought."""
        is_leak = ["false"]
        for view in self._views:
            is_leak.append(f'"{view.name}:{EVENT_TIMESTAMP}" > event_time')
            if self._options.check_ingestion:
                created = f'"{view.name}:{CREATED_TIMESTAMP}"'
                is_leak.append(f"{created} > ingestion_time_us")
        query = f"SELECT count(*) FROM joined WHERE {' OR '.join(is_leak)}"
        num_leaked = int(connection.execute(query).fetchall()[0][0])
        if num_leaked:
            names = ", ".join(day_name(day) for day in days)
            raise StepwellError(
                f"{num_leaked} rows see the future; not written: {names}"
            )

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        days: list[int],
        as_of_seconds: int,
    ) -> dict[str, Day]:
        """Writes the parts of `joined`, which are whole and durable when it returns."""
        # An event is a row at once, a slate when its window is over.
        is_slate = self._prepared.extent.kind == RowKind.SLATES
        open_seconds = self._options.window_seconds if is_slate else 0
        made = self._out / ".parts"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        written = {}
        for day in days:
            part = made / f"{day_name(day)}.parquet"
            rows = connection.sql(
                f"SELECT * EXCLUDE (row_number, day) FROM joined WHERE day = {day}"
                " ORDER BY row_number"
            )
            rows.write_parquet(str(part), compression="zstd")
            num_rows = pq.read_metadata(part).num_rows
            over = (day + 1) * DAY_SECONDS + open_seconds
            written[part.stem] = Day(num_rows, over <= as_of_seconds)
        sync_tree(made)
        for part in made.iterdir():
            part.replace(self._out / part.name)
        sync_folder(self._out)
        made.rmdir()
        return written


def _batches(num_rows_of_days: dict[int, int]) -> list[list[int]]:
    """Returns the days in order, as many together as a join is worth."""
    batches: list[list[int]] = []
    room = 0
    for day, num_rows in num_rows_of_days.items():
        if not batches or room < num_rows:
            batches.append([])
            room = _BATCH_ROWS
        batches[-1].append(day)
        room -= num_rows
    return batches
