"""Writes every table of figures in the documents from the reports that measured them.

    PYTHONPATH=tools:py python tools/bench/figures.py           rewrite the documents
    PYTHONPATH=tools:py python tools/bench/figures.py --check   exit 1 when one differs

A report lies in docs/figures/NAME.json, as `./stepwell bench NAME --json` or
`./stepwell demo --report` wrote it; `bench` then rewrites the documents by itself. A
document holds `<!-- figures:NAME -->` and `<!-- /figures -->`; what stands between them
belongs to this program. Where a benchmark has left no report yet, it says so there.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from bench.report import cells_of, headings

ROOT = Path(__file__).resolve().parents[2]
FIGURES_FOLDER = Path("docs", "figures")
DOCUMENTS = ("README.md", "BENCHMARKS.md")
MARKED = re.compile(
    r"(<!-- figures:(?P<name>[a-z_]+) -->\n).*?(<!-- /figures -->)", re.DOTALL
)
UNMEASURED = "No report yet.\n"
TIERS = {
    "full": "FULL",
    "full_diverse": "FULL, re-ranked for diversity",
    "reduced": "REDUCED",
    "popular": "POPULAR, no slate cached",
    "popular_cached": "POPULAR, own slate cached",
}
QUALITY_COLUMNS = (
    ("NDCG@10 all", "ndcg_at_10"),
    ("NDCG@10 new", "ndcg_at_10_new"),
    ("Recall@500 all", "recall_at_500"),
    ("Recall@500 new", "recall_at_500_new"),
)

Report = dict[str, Any]


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """Returns a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure(value: float | None, digits: int = 4) -> str:
    """Returns a figure to `digits` significant digits; a dash for none."""
    return "-" if value is None else f"{value:.{digits}g}"


def bench_table(report: Report) -> str:
    """Returns the rows of a benchmark, and the machine they were measured on.

    A column that says nothing in any row is left out.
    """
    with_ceiling = any(row.get("ceiling") is not None for row in report["rows"])
    rows = [cells_of(row, with_ceiling) for row in report["rows"]]
    for cells in rows:
        cells[-1] = "**no**" if cells[-1] == "NO" else cells[-1]
    notes = "".join(f"\nNote: {note}.\n" for note in report.get("notes", []))
    used = [n for n, _ in enumerate(rows[0]) if any(r[n] != "-" for r in rows)]
    heads = headings(with_ceiling)
    table = markdown_table(
        [heads[n] for n in used], [[cells[n] for n in used] for cells in rows]
    )
    return table + notes + machine_line(report["machine"])


def demo_table(report: Report) -> str:
    """Returns quality and latency of every way to be served, from a demo's report."""
    rows = []
    for way, name in TIERS.items():
        quality = report["quality"].get(way)
        latency = report["latency_ms"].get(way, {})
        if quality is None:
            continue
        scores = [f"{quality[key]:.3f}" for _, key in QUALITY_COLUMNS]
        times = [figure(latency.get(key), 3) for key in ("p50", "p99")]
        rows.append([name, *scores, *times])
    headings = ["tier", *(name for name, _ in QUALITY_COLUMNS), "p50 ms", "p99 ms"]
    return markdown_table(headings, rows) + machine_line(report["machine"])


def machine_line(machine: Report) -> str:
    """Returns one line on where the figures come from."""
    return (
        f"\n{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['date']}.\n"
    )


def filled(document: str, reports: dict[str, Report]) -> str:
    """Returns the document with every marked part written afresh.

    Raises:
        KeyError: a marker names neither a report nor a benchmark.
    """

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in reports and (ROOT / "tools" / "bench" / f"{name}.py").exists():
            return f"{match[1]}{UNMEASURED}{match[3]}"
        report = reports[name]
        text = bench_table(report) if "rows" in report else demo_table(report)
        return f"{match[1]}{text}{match[3]}"

    return MARKED.sub(table, document)


def rewrite(root: Path, *, check: bool = False) -> list[str]:
    """Writes the tables of the documents afresh; returns the names that changed.

    Args:
        root: of the project.
        check: change nothing.
    """
    files = (root / FIGURES_FOLDER).glob("*.json")
    reports = {file.stem: json.loads(file.read_text()) for file in files}
    differing = []
    for name in DOCUMENTS:
        path = root / name
        text = path.read_text()
        wanted = filled(text, reports)
        if wanted != text:
            differing.append(name)
            if not check:
                path.write_text(wanted)
    return differing


def main(argv: list[str]) -> int:
    """Rewrites or checks the documents; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    args = parser.parse_args(argv)
    differing = rewrite(ROOT, check=args.check)
    for name in differing:
        print(f"{'differs from its reports' if args.check else 'written'}: {name}")
    return int(bool(differing) and args.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
