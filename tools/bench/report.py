"""One shape for every benchmark: figures, the machine they come from, a verdict."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


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
    """

    work: str
    ours: float
    unit: str
    peers: dict[str, float] = field(default_factory=dict)
    ratio: float | None = None
    bar: str = ""
    holds: bool = True


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
    for heading in ("work", "ours", "unit", "peers", "x best peer", "bar", "holds"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        peers = ", ".join(f"{peer} {value:.4g}" for peer, value in row.peers.items())
        table.add_row(
            row.work,
            f"{row.ours:.4g}",
            row.unit,
            peers or "-",
            "-" if row.ratio is None else f"{row.ratio:.2f}",
            row.bar or "-",
            ("yes" if row.holds else "NO") if row.bar else "-",
            style=None if row.holds else "red",
        )
    console.print(table)


def write_json(path: Path, name: str, rows: Sequence[BenchRow]) -> None:
    """Writes {name, machine, rows} with the rows' fields as keys."""
    report = {
        "name": name,
        "machine": describe_machine(),
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
