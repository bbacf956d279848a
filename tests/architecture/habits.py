"""The rules of STYLE.md that a program can check, each a function over one file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80
MAX_CONSTRUCTOR_ARGS = 5
SOURCE_FOLDERS = ("cc", "loadtest", "proto", "py", "tests", "tools")
SOURCE_SUFFIXES = (".bzl", ".cc", ".cu", ".cuh", ".h", ".js", ".proto", ".py", ".sh")
# Written by tools/lint/build_files.py, a target a file, as BUILD.bazel is.
GENERATED_NAMES = frozenset({"tests.bzl"})
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
# A name that says nothing about what is inside.
EMPTY_NAMES = frozenset(
    {"common", "helper", "helpers", "misc", "shared", "stuff", "util", "utils"}
)
# common.proto holds the messages that several services share, which is what it says.
ALLOWED_NAMES = frozenset({"proto/stepwell_pb/v1/common.proto"})
# What callers outside of the tree import by the package's name; it loads its modules on
# demand, so importing one of them still loads no other.
PUBLIC_FACES = frozenset({"py/stepwell/client/__init__.py"})
# Each reads code, not data, from what it is given.
UNSAFE_MODULES = frozenset({"cloudpickle", "dill", "marshal", "pickle", "shelve"})
UNSAFE_CALLS = frozenset(
    {"eval", "exec", "torch.load", "torch.jit.load", "yaml.load", "yaml.unsafe_load"}
)
# Heavy or interactive; a process that answers requests starts without them.
NOT_FOR_SERVERS = frozenset({"matplotlib", "pandas", "rich"})
METRIC = re.compile(r"stepwell_[a-z0-9]+_[a-z0-9_]*(?:total|seconds|bytes|ratio)")


def source_files(root: Path) -> Iterator[Path]:
    """Yields every source file of the tree, generated and foreign ones left out."""
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            foreign = SKIPPED_FOLDERS.intersection(path.relative_to(root).parts)
            generated = path.name in GENERATED_NAMES
            if path.suffix in SOURCE_SUFFIXES and not foreign and not generated:
                yield path


def is_test(path: Path) -> bool:
    """True for test files, their fixtures, and all below tests/."""
    name = path.name
    return "tests" in path.parts or name == "conftest.py" or "_test." in name


def dotted(node: ast.expr) -> str:
    """Returns "a.b.c" of a name or attribute chain, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def too_long(path: Path) -> Iterator[str]:
    """Files above the limit."""
    lines = len(path.read_text().splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{lines} lines, at most {MAX_FILE_LINES}"


def empty_name(path: Path, root: Path) -> Iterator[str]:
    """Files and folders whose name is no noun of the architecture."""
    relative = path.relative_to(root)
    if relative.as_posix() in ALLOWED_NAMES:
        return
    for part in (*relative.parts[:-1], relative.stem):
        if part in EMPTY_NAMES:
            yield f"'{part}' names no thing"


def sleeps(tree: ast.Module) -> Iterator[str]:
    """Calls of time.sleep, and its import by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) == "time.sleep":
            yield f"line {node.lineno}: time.sleep in a test"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            if any(alias.name == "sleep" for alias in node.names):
                yield f"line {node.lineno}: imports sleep into a test"


def unsafe_reads(tree: ast.Module) -> Iterator[str]:
    """Imports and calls that run what they read."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] in UNSAFE_MODULES:
                yield f"line {node.lineno}: imports {name}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and dotted(node.func) in UNSAFE_CALLS:
            yield f"line {node.lineno}: calls {dotted(node.func)}"


def no_docstring(tree: ast.Module) -> Iterator[str]:
    """Modules that do not say what they are."""
    if not ast.get_docstring(tree):
        yield "no module docstring"


def busy_init(tree: ast.Module) -> Iterator[str]:
    """A package's `__init__.py` that does more than describe the package."""
    for node in tree.body:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield f"line {node.lineno}: only a docstring belongs here"


def long_functions(tree: ast.Module) -> Iterator[str]:
    """Functions above the limit, docstring included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"


def wide_constructors(tree: ast.Module) -> Iterator[str]:
    """Constructors with more arguments than a reader can hold."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            count = len(node.args.args) + len(node.args.kwonlyargs) - 1
            if count > MAX_CONSTRUCTOR_ARGS:
                yield f"line {node.lineno}: {count} arguments, use an Options dataclass"


def server_imports(tree: ast.Module) -> Iterator[str]:
    """Imports that a serving process must not pay for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.split(".")[0] in NOT_FOR_SERVERS:
                yield f"line {node.lineno}: a server does not import {name}"


def metric_names(tree: ast.Module) -> Iterator[str]:
    """Yields every string that has the form of a metric's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if METRIC.fullmatch(node.value):
                yield node.value
