"""Which days of training rows are done: the list beside the parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stepwell.base.errors import DataLossError, FailedPreconditionError
from stepwell.releases.durable_files import write_durably
from stepwell.schema.feature_registry import DAY_SECONDS

MANIFEST = "rows.json"


def day_name(day: int) -> str:
    """Returns YYYY-MM-DD of a number of days since 1970-01-01 UTC."""
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True, slots=True)
class Day:
    """One part.

    Attributes:
        num_rows: it has.
        is_done: the windows of all slates of the day were over when it was written.
    """

    num_rows: int
    is_done: bool


class WrittenDays:
    """The parts of a folder and the options they were made with, in rows.json.

    Args:
        folder: of the parts; made when missing.
        options: that the rows are to have.
    Raises:
        FailedPreconditionError: the folder holds rows of other options.
        DataLossError: rows.json is none of ours.
    """

    def __init__(self, folder: Path, options: Mapping[str, object]) -> None:
        self._path = folder / MANIFEST
        self._options = dict(options)
        self._days: dict[str, Day] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._load()

    @property
    def num_rows(self) -> int:
        """Rows of all parts."""
        return sum(day.num_rows for day in self._days.values())

    def done(self) -> set[str]:
        """Returns the names of the days that need no second look."""
        return {name for name, day in self._days.items() if day.is_done}

    def check_growth(self, num_rows: Mapping[str, int]) -> None:
        """Raises FailedPreconditionError where a day had more rows than it would get.

        So it is when the source has lost lines since, or is looked at as of an earlier
        time: what the part has cannot be made again.
        """
        for name, new in num_rows.items():
            old = self._days[name].num_rows if name in self._days else 0
            if new < old:
                raise FailedPreconditionError(
                    f"{self._path.parent / name}.parquet has {old} rows and would get "
                    f"{new}: the source has less than it had, or --as-of is earlier"
                )

    def add(self, days: Mapping[str, Day]) -> None:
        """Remembers parts that lie durably in the folder; the list is then durable."""
        self._days = dict(sorted({**self._days, **days}.items()))
        text = {
            "options": self._options,
            "days": {
                name: {"rows": day.num_rows, "done": day.is_done}
                for name, day in self._days.items()
            },
        }
        write_durably(self._path, (json.dumps(text, indent=1) + "\n").encode())

    def _load(self) -> None:
        try:
            text = json.loads(self._path.read_text())
            options = text["options"]
            self._days = {
                name: Day(int(day["rows"]), bool(day["done"]))
                for name, day in text["days"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataLossError(f"{self._path}: no list of days: {error}") from error
        for name in (*self._options, *options):
            old, new = options.get(name), self._options.get(name)
            if old != new:
                raise FailedPreconditionError(
                    f"{self._path.parent} has rows of {name} {old!r}, not {new!r}; "
                    "write to another folder"
                )
