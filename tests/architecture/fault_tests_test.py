"""docs/fault-tests.md names tests that there are, and all that force a row."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/fault-tests.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
ROWS = {
    *(f"O{row}" for row in range(1, 12)),
    "D1",
    "D2",
    "D3",
    "D5",
    "D6",
    "K1",
    "K2",
    "K3",
    "K4",
    "K5",
    "K6",
    "K7",
    "S1",
    "S2",
    "S3",
    "S4",
    "A2",
}


def names_of(path: Path) -> set[str]:
    """Returns the names of a file's test functions."""
    found = ast.walk(ast.parse(path.read_text()))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in found if isinstance(node, kinds)}
    return {name for name in names if name.startswith("test_")}


def test_every_row_has_its_line_and_a_test() -> None:
    lines = dict(re.findall(r"^\| ([A-Z]\d+) \|(.*)$", PAGE, re.MULTILINE))
    assert lines.keys() == ROWS
    assert [row for row, line in lines.items() if "::test_" not in line] == []


def test_every_test_that_is_named_is_there() -> None:
    missing = [
        f"{path}::{name}" for path, name in NAMED if name not in names_of(ROOT / path)
    ]
    assert missing == []


def test_every_test_that_is_named_by_its_row_is_in_the_page() -> None:
    forcing = {
        name
        for path in (ROOT / "tests/faults").glob("*_test.py")
        for name in names_of(path)
        if re.match(r"test_[a-z]\d+_", name)
    }
    assert forcing
    assert forcing - {name for _, name in NAMED} == set()
