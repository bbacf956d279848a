"""Point-in-time features: to each row what was known when it was asked, by DuckDB.

Two clocks decide. `event_timestamp` says what time a feature row speaks of,
`created_timestamp` when it came to be: a backfill written today about last year has an
old event_timestamp and was seen by no answer of last year. A row asked at `event_time`
and taken in at `ingestion_time_us` sees, of its entity's feature rows with

    event_timestamp <= event_time  and  created_timestamp <= ingestion_time_us

the one of the latest event_timestamp, of two equal ones that created last; and none
where even that one is older than the view's time to live.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from stepwell.base.errors import InvalidArgumentError

EVENT_TIMESTAMP = "event_timestamp"
CREATED_TIMESTAMP = "created_timestamp"
LOOKS = ("newest", "by_event", "searched")
"""How a row found its feature row: it is the newest of all known, or the last by event
time where a newer one was known, or was searched for among all of the entity's."""

ROW_COLUMNS = ("row_number", "event_time", "ingestion_time_us")
"""What the asked rows must have beside the views' keys: a number of their own, unix
seconds and unix microseconds, all int64."""


@dataclass(frozen=True, slots=True)
class ViewTable:
    """The rows of one feature view over time, in Parquet.

    Attributes:
        name: of the view; a feature becomes the column `name:feature`.
        key: the entity's column, text, here and in the asked rows.
        files: a Parquet file, or a pattern of them, with the key, event_timestamp (unix
            seconds, int64), created_timestamp (unix microseconds, int64) and the
            features. No two rows have key and both times in common.
        features: columns to join.
        ttl_seconds: a feature row older than this is not seen; 0 is no limit.
        schema: what the features are, such as a hash; rows of two are not mixed.
    """

    name: str
    key: str
    files: Path
    features: tuple[str, ...]
    ttl_seconds: int = 0
    schema: str = ""

    @property
    def stored(self) -> tuple[str, ...]:
        """What is joined of a feature row: its features and its two times."""
        return (*self.features, EVENT_TIMESTAMP, CREATED_TIMESTAMP)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of that in the joined rows."""
        return tuple(f"{self.name}:{c}" for c in self.stored)


class PointInTimeJoin:
    """Joins rows to the views' tables, which are read once.

    Args:
        connection: DuckDB; keeps tables called view_N, newest_N and by_event_N.
        views: what to join.
        check_ingestion: False takes feature rows for known since their event time:
            right only where no backfill can be.
    Raises:
        InvalidArgumentError: a view holds two rows with key and both times in common.

    Concurrency: one thread.
    Cost: one sort of each view, O(V log V); a join of R rows O((R + V) log V) while few
        rows must be searched.
    Source: the ASOF join of kdb+ and DuckDB, which knows one clock. The second clock
        is met by joining by `created_timestamp` among those feature rows that were the
        newest by event time when they came (all of them when nothing is late), and by
        event time where such a row is ahead of the question.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        views: tuple[ViewTable, ...],
        check_ingestion: bool = True,
    ) -> None:
        self._connection = connection
        self._views = views
        self._check_ingestion = check_ingestion
        for number, view in enumerate(views):
            self._load(number, view)

    def join(self, rows: str, out: str) -> dict[str, dict[str, int]]:
        """Makes the table `out`: `rows` with the views' columns, null where none.

        Args:
            rows: table with ROW_COLUMNS and every view's key.
            out: table to make anew.
        Returns:
            By view and LOOKS, how many rows have found a feature row.
        """
        found = {
            view.name: self._find(number, view, rows)
            for number, view in enumerate(self._views)
        }
        columns = ["asked.*"]
        joins = []
        for number, view in enumerate(self._views):
            columns += [
                f'view_{number}."{feature}" AS "{column}"'
                for feature, column in zip(view.stored, view.columns, strict=True)
            ]
            joins.append(
                f"LEFT JOIN found_{number} USING (row_number)"
                f" LEFT JOIN view_{number}"
                f" ON view_{number}.rowid = found_{number}.place"
            )
        self._connection.execute(
            f"CREATE OR REPLACE TABLE {out} AS"
            f" SELECT {', '.join(columns)} FROM {rows} AS asked {' '.join(joins)}"
        )
        return found

    def _load(self, number: int, view: ViewTable) -> None:
        features = "".join(f', "{feature}"' for feature in view.features)
        self._connection.execute(
            f'CREATE TABLE view_{number} AS SELECT "{view.key}" AS __entity,'
            f" {EVENT_TIMESTAMP}, {CREATED_TIMESTAMP}{features}"
            " FROM read_parquet($1)",
            [str(view.files)],
        )
        self._refuse_twins(number, view)
        # Of rows created at once only the last by event time can be the newest, and it
        # is one if none that came before it speaks of a later time.
        self._connection.execute(
            f"CREATE TABLE newest_{number} AS SELECT __entity, event_timestamp,"
            f" created_timestamp, rowid AS place FROM view_{number}"
            " QUALIFY event_timestamp = max(event_timestamp) OVER"
            " (PARTITION BY __entity ORDER BY created_timestamp"
            " RANGE UNBOUNDED PRECEDING)"
        )
        self._connection.execute(
            f"CREATE TABLE by_event_{number} AS SELECT __entity, event_timestamp,"
            f" created_timestamp, rowid AS place FROM view_{number}"
            " QUALIFY row_number() OVER (PARTITION BY __entity, event_timestamp"
            " ORDER BY created_timestamp DESC) = 1"
        )

    def _refuse_twins(self, number: int, view: ViewTable) -> None:
        twins = self._connection.execute(
            "SELECT __entity, event_timestamp, created_timestamp, count(*)"
            f" FROM view_{number} GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
        ).fetchall()
        if twins:
            entity, event, created, count = twins[0]
            raise InvalidArgumentError(
                f"view {view.name} holds {count} rows of {view.key} {entity!r} at "
                f"event_timestamp {event}, created_timestamp {created}: must be one",
                EVENT_TIMESTAMP,
            )

    def _find(self, number: int, view: ViewTable, rows: str) -> dict[str, int]:
        """Makes found_N (row_number, place); a row that sees nothing is not in it."""
        run = self._connection.execute
        first = self._first(number, view, rows)
        run(f"CREATE OR REPLACE TEMP TABLE first_look AS {first}")
        run(f"CREATE OR REPLACE TEMP TABLE second_look AS {_second(number)}")
        run(f"CREATE OR REPLACE TEMP TABLE third_look AS {self._third(number)}")
        columns = "row_number, place, event_time, event_timestamp"
        looks = (
            f"SELECT {columns}, 0 AS look FROM first_look"
            " WHERE event_timestamp <= event_time"
            f" UNION ALL SELECT {columns}, 1 FROM second_look WHERE {self._is_known}"
            f" UNION ALL SELECT {columns}, 2 FROM third_look"
        )
        age = "event_time - event_timestamp"
        run(
            f"CREATE OR REPLACE TEMP TABLE found_{number} AS SELECT * FROM ({looks})"
            f" WHERE {view.ttl_seconds} = 0 OR {age} <= {view.ttl_seconds}"
        )
        counts = run(
            f"SELECT look, count(*) FROM found_{number} GROUP BY look ORDER BY look"
        )
        return {LOOKS[look]: count for look, count in counts.fetchall()}

    @property
    def _is_known(self) -> str:
        known = "created_timestamp <= ingestion_time_us"
        return known if self._check_ingestion else "true"

    def _first(self, number: int, view: ViewTable, rows: str) -> str:
        """The newest by event time that was known; it may speak of the future."""
        asked = (
            f'SELECT row_number, "{view.key}" AS __entity, event_time,'
            f" ingestion_time_us FROM {rows}"
        )
        if not self._check_ingestion:
            # All is known, so the newest is ahead of everybody: look by event time.
            return (
                "SELECT *, event_time + 1 AS event_timestamp, NULL::BIGINT AS place"
                f" FROM ({asked})"
            )
        return (
            f"SELECT asked.*, seen.event_timestamp, seen.place FROM ({asked}) AS asked"
            f" ASOF JOIN newest_{number} AS seen"
            " ON asked.__entity = seen.__entity"
            " AND asked.ingestion_time_us >= seen.created_timestamp"
        )

    def _third(self, number: int) -> str:
        """The rule itself, for what the first two looks have not settled."""
        return (
            "SELECT asked.row_number, any_value(asked.event_time) AS event_time,"
            " max(seen.event_timestamp) AS event_timestamp,"
            " arg_max(seen.rowid, row(seen.event_timestamp, seen.created_timestamp))"
            f" AS place FROM (SELECT * FROM second_look WHERE NOT ({self._is_known}))"
            f" AS asked JOIN view_{number} AS seen ON asked.__entity = seen.__entity"
            " AND seen.event_timestamp <= asked.event_time"
            " AND seen.created_timestamp <= asked.ingestion_time_us"
            " GROUP BY asked.row_number"
        )


def _second(number: int) -> str:
    """Where the newest speaks of the future: the last before it, known or not."""
    return (
        "SELECT asked.row_number, asked.__entity, asked.event_time,"
        " asked.ingestion_time_us, seen.created_timestamp, seen.place,"
        " seen.event_timestamp"
        " FROM (SELECT * FROM first_look WHERE event_timestamp > event_time) AS asked"
        f" ASOF JOIN by_event_{number} AS seen ON asked.__entity = seen.__entity"
        " AND asked.event_time >= seen.event_timestamp"
    )
