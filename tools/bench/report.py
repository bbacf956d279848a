"""One shape for every benchmark: figures, the machine they come from, a verdict."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stepwell.base.errors import DataLossError


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One measured figure beside its peers and its bar.

    Attributes:
        work: what was measured, with sizes and the quality where speed has one.
        ours: our figure, in `unit`.
        unit: such as "us", "ms p99", "QPS", "ratio".
        peers: the peers' figures in the same unit, measured in the same run.
        ratio: how many times better than the best peer; None without peers.
        bar: the requirement in words, "" when the row only informs.
        holds: whether the bar is met; True when there is none.
        also: figures of the same run that only inform, in the same unit.
        ceiling: what the machine can do at best at this work, in the same unit.
        share: the part of that ceiling that `ours` reaches.
        part: of the benchmark, where its parts can be measured alone.
    """

    work: str
    ours: float
    unit: str
    peers: dict[str, float] = field(default_factory=dict)
    ratio: float | None = None
    bar: str = ""
    holds: bool = True
    also: dict[str, float] = field(default_factory=dict)
    ceiling: float | None = None
    share: float | None = None
    part: str = ""


def ratio_to_best(
    ours: float, peers: dict[str, float], lower_is_better: bool
) -> float | None:
    """Returns how many times better `ours` is than the best peer; None without one."""
    if not peers:
        return None
    if lower_is_better:
        return min(peers.values()) / ours if ours else None
    best = max(peers.values())
    return ours / best if best else None


def limited(
    work: str,
    ours: float,
    unit: str,
    limit: float,
    peers: Mapping[str, float] | None = None,
    *,
    lower_is_better: bool,
) -> BenchRow:
    """Returns a row that holds while `ours` is on the right side of `limit`."""
    sign, holds = ("<=", ours <= limit) if lower_is_better else (">=", ours >= limit)
    peers = dict(peers or {})
    ratio = ratio_to_best(ours, peers, lower_is_better)
    return BenchRow(work, ours, unit, peers, ratio, f"{sign} {limit:g} {unit}", holds)


at_most = partial(limited, lower_is_better=True)
at_least = partial(limited, lower_is_better=False)


def describe_machine() -> dict[str, str | int]:
    """Returns what the figures depend on: processor, cores, memory, system, date."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def print_table(name: str, rows: Sequence[BenchRow], console: Console) -> None:
    """Prints the rows; a row that falls short is red."""
    table = Table(title=f"stepwell bench {name}", title_justify="left")
    with_ceiling = any(row.ceiling is not None for row in rows)
    for heading in headings(with_ceiling):
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = cells_of(asdict(row), with_ceiling)
        table.add_row(*cells, style=None if row.holds else "red")
    console.print(table)


def headings(with_ceiling: bool) -> list[str]:
    """Returns the heads of a table's columns; a ceiling has two."""
    ceiling = ["ceiling", "share"] if with_ceiling else []
    return ["work", "ours", "unit", "peers", "x best peer", *ceiling, "bar", "holds"]


def cells_of(row: dict[str, Any], with_ceiling: bool) -> list[str]:
    """Returns the text below each heading; what only informs stands in brackets."""
    peers = [f"{peer} {value:.4g}" for peer, value in row["peers"].items()]
    peers += [f"({name} {value:.4g})" for name, value in row.get("also", {}).items()]
    cells = [row["work"], f"{row['ours']:.4g}", row["unit"], ", ".join(peers) or "-"]
    cells.append("-" if row["ratio"] is None else f"{row['ratio']:.3g}")
    if with_ceiling:
        ceiling, share = row.get("ceiling"), row.get("share")
        cells.append("-" if ceiling is None else f"{ceiling:.3g}")
        cells.append("-" if share is None else f"{share:.0%}")
    cells.append(row["bar"] or "-")
    cells.append(("yes" if row["holds"] else "NO") if row["bar"] else "-")
    return cells


def write_json(
    path: Path, name: str, rows: Sequence[BenchRow], notes: Sequence[str] = ()
) -> None:
    """Writes {name, machine, rows, notes} with the rows' fields as keys."""
    report = {
        "name": name,
        "machine": describe_machine(),
        "rows": [asdict(row) for row in rows],
        "notes": list(notes),
    }
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def read_rows(path: Path) -> list[BenchRow]:
    """Returns the rows of a report, none where there is no file.

    Raises:
        DataLossError: the file is no report.
    """
    if not path.exists():
        return []
    try:
        return [BenchRow(**row) for row in json.loads(path.read_text())["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataLossError(f"{path} is no report of a benchmark: {error}") from error


def with_parts_replaced(
    rows: Sequence[BenchRow], measured: Sequence[BenchRow]
) -> list[BenchRow]:
    """Returns the rows of a report after some of its parts were measured again.

    What was measured stands where the first row of its parts stood, else at the end.
    """
    parts = {row.part for row in measured}
    first = next((at for at, row in enumerate(rows) if row.part in parts), len(rows))
    after = [row for row in rows[first:] if row.part not in parts]
    return [*rows[:first], *measured, *after]
