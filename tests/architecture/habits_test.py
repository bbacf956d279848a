"""The habits of STYLE.md hold in this tree; and each guard sees a breach."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from architecture import habits
from stepwell.base import metric_names

ROOT = Path(__file__).resolve().parents[2]
FILES = list(habits.source_files(ROOT))
PYTHON = {path: ast.parse(path.read_text()) for path in FILES if path.suffix == ".py"}
TESTS = {path: tree for path, tree in PYTHON.items() if habits.is_test(path)}
CODE = {path: tree for path, tree in PYTHON.items() if path not in TESTS}
TRAINING_ROOMS = ("py/stepwell/training", "py/stepwell/console")
Check = Callable[[ast.Module], Iterator[str]]


def breaches(trees: dict[Path, ast.Module], check: Check) -> list[str]:
    """Returns "file: what" for every breach of one habit."""
    return [
        f"{path.relative_to(ROOT)}: {text}"
        for path, tree in trees.items()
        for text in check(tree)
    ]


def in_folder(folder: str) -> dict[Path, ast.Module]:
    """Returns the sources below a folder, tests left out."""
    return {p: t for p, t in CODE.items() if p.is_relative_to(ROOT / folder)}


def test_the_tree_is_seen() -> None:
    assert len(FILES) > 50
    assert ROOT / "py/stepwell/base/errors.py" in CODE


def test_no_file_is_longer_than_400_lines() -> None:
    found = [
        f"{p.relative_to(ROOT)}: {text}" for p in FILES for text in habits.too_long(p)
    ]
    assert found == []


def test_every_name_names_a_thing() -> None:
    found = [
        f"{p.relative_to(ROOT)}: {text}"
        for p in FILES
        for text in habits.empty_name(p, ROOT)
    ]
    assert found == []


@pytest.mark.parametrize(
    "check",
    [habits.unsafe_reads, habits.long_functions, habits.wide_constructors],
    ids=lambda check: check.__name__,
)
def test_every_python_file_keeps(check: Check) -> None:
    assert breaches(PYTHON, check) == []


def test_no_test_sleeps() -> None:
    assert breaches(TESTS, habits.sleeps) == []


def test_every_module_says_what_it_is() -> None:
    assert breaches(CODE, habits.no_docstring) == []


def test_a_package_init_holds_its_docstring_only() -> None:
    faces = {ROOT / face for face in habits.PUBLIC_FACES}
    inits = {
        path: tree
        for path, tree in CODE.items()
        if path.name == "__init__.py" and path not in faces
    }
    assert breaches(inits, habits.busy_init) == []


def test_no_serving_room_imports_what_only_people_need() -> None:
    serving = {
        path: tree
        for path, tree in in_folder("py/stepwell").items()
        if not any(path.is_relative_to(ROOT / room) for room in TRAINING_ROOMS)
    }
    assert breaches(serving, habits.server_imports) == []


def test_every_metric_named_in_the_sources_is_listed() -> None:
    listed = set(habits.metric_names(PYTHON[Path(metric_names.__file__).resolve()]))
    assert listed
    used = {
        name for tree in in_folder("py").values() for name in habits.metric_names(tree)
    }
    assert used - listed == set()


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (habits.sleeps, "import time\ntime.sleep(1)"),
        (habits.sleeps, "from time import sleep"),
        (habits.unsafe_reads, "import pickle"),
        (habits.unsafe_reads, "from cloudpickle import loads"),
        (habits.unsafe_reads, "torch.load(path)"),
        (habits.unsafe_reads, "yaml.load(text)"),
        (habits.unsafe_reads, "eval(text)"),
        (habits.no_docstring, "x = 1"),
        (habits.busy_init, '"""Room."""\nfrom stepwell.base import clock'),
        (habits.server_imports, "import pandas as pd"),
        (habits.long_functions, "def f():\n" + "    pass\n" * 80),
        (
            habits.wide_constructors,
            "class A:\n  def __init__(self, a, b, c, d, e, f): pass",
        ),
    ],
)
def test_a_breach_is_seen(check: Check, text: str) -> None:
    assert len(list(check(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (habits.sleeps, "await asyncio.sleep(0)"),
        (habits.unsafe_reads, "model.eval()\nyaml.safe_load(text)"),
        (habits.busy_init, '"""Room."""'),
        (habits.long_functions, "def f():\n" + "    pass\n" * 70),
        (
            habits.wide_constructors,
            "class A:\n  def __init__(self, a, b, c, d, e): pass",
        ),
    ],
)
def test_good_code_is_left_alone(check: Check, text: str) -> None:
    assert list(check(ast.parse(text))) == []


def test_a_long_file_and_an_empty_name_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "py" / "utils.py"
    path.parent.mkdir()
    path.write_text("x = 1\n" * 401)
    assert list(habits.too_long(path)) == ["401 lines, at most 400"]
    assert list(habits.empty_name(path, tmp_path)) == ["'utils' names no thing"]
