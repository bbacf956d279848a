"""Metric pages of several processes as one page."""

from collections.abc import Mapping


def merged_page(pages: Mapping[str, bytes]) -> bytes:
    """Returns one page in Prometheus' text format, each series with its process.

    Args:
        pages: of each process by its name, which becomes the first label, `worker`.
    Returns:
        Families in the order in which they were first seen, described once.
    """
    described: dict[str, list[str]] = {}
    series: dict[str, list[str]] = {}
    for worker, page in pages.items():
        _gather(page, f'worker="{worker}"', described, series)
    lines = [
        line
        for family, heads in described.items()
        for line in [*heads, *series.get(family, [])]
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _gather(
    page: bytes,
    label: str,
    described: dict[str, list[str]],
    series: dict[str, list[str]],
) -> None:
    family = ""
    is_new = False
    for line in page.decode().splitlines():
        if line.startswith("# "):
            # "# HELP name ..." comes first, then "# TYPE name ...".
            name = line.split(" ", 3)[2]
            if name != family:
                family, is_new = name, name not in described
            if is_new:
                described.setdefault(family, []).append(line)
        elif line:
            series.setdefault(family, []).append(_labelled(line, label))


def _labelled(line: str, label: str) -> str:
    brace, space = line.find("{"), line.find(" ")
    if 0 <= brace < space:
        return f"{line[: brace + 1]}{label},{line[brace + 1 :]}"
    return f"{line[:space]}{{{label}}}{line[space:]}"
