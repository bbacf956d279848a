"""Writes the Python targets of BUILD.bazel files from the imports of the sources.

    python tools/lint/build_files.py            rewrite what differs
    python tools/lint/build_files.py --check    exit 1 and name what differs

One target a file, named after it: `*_test.py` is a test, `*_main.py` a binary, the rest
are libraries. `deps` come from the imports; every other attribute that a target already
has (data, size, args, tags ...) is kept, and so are constants and targets of other
rules.
"""

import argparse
import ast
import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORT_ROOTS = ("py/bin", "py", "tests", "tools", "loadtest")
PACKAGE_ROOTS = (
    "py/stepwell",
    "py/bin",
    "tests",
    "loadtest",
    "tools/bench",
    "tools/lint",
    "tools/setup",
)
PROTO_TARGET = "//proto/stepwell_pb/v1:v1_py"
RULES = ("stepwell_py_binary", "stepwell_py_library", "stepwell_py_test")

MAX_FILE_LINES = 400
TESTS_FILE = "tests.bzl"
TESTS_CALL = "room_tests()"
TESTS_HEAD = '''\
"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
'''


@dataclass(frozen=True, slots=True)
class Call:
    """A call in a BUILD file, and the text that its positions count in."""

    node: ast.Call
    text: str

    @property
    def rule(self) -> str:
        """Name of the rule that is called."""
        return self.node.func.id if isinstance(self.node.func, ast.Name) else ""


def module_file(module: str, folder: Path) -> Path | None:
    """Returns the source file of a dotted module of this tree, None when foreign."""
    relative = module.replace(".", "/")
    for base in [ROOT / root for root in IMPORT_ROOTS] + [folder]:
        for candidate in (base / f"{relative}.py", base / relative / "__init__.py"):
            if candidate.exists():
                return candidate
    return None


def imported_modules(source: Path) -> set[str]:
    """Returns every module that a file imports, anywhere in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return modules


def dependencies(source: Path) -> list[str]:
    """Returns the labels that a source file needs, sorted as buildifier sorts them."""
    labels = set()
    for module in imported_modules(source):
        if module.startswith("stepwell_pb"):
            labels.add(PROTO_TARGET)
            continue
        file = module_file(module, source.parent)
        if file is None or file in (source, source.parent / "conftest.py"):
            continue
        if file.name == "__init__.py":
            # Every library depends on its package's own; a face that loads its modules
            # on demand names them in strings.
            if file.parent != source.parent:
                labels |= {label_of(face, source) for face in named_modules(file)}
            continue
        labels.add(label_of(file, source))
    return in_order(labels)


def in_order(labels: Iterable[str]) -> list[str]:
    """Returns labels as buildifier sorts them: own package first, a folder before its
    subfolders."""
    return sorted(
        labels, key=lambda label: (not label.startswith(":"), re.split("[:.]", label))
    )


def label_of(file: Path, source: Path) -> str:
    """Returns the label of a source file as a target beside `source` writes it."""
    if file.parent == source.parent:
        return f":{file.stem}"
    package = f"//{file.parent.relative_to(ROOT)}"
    # As buildifier writes the target that has its folder's name.
    return package if file.stem == file.parent.name else f"{package}:{file.stem}"


def named_modules(init: Path) -> set[Path]:
    """Returns the modules of its own package that an `__init__.py` names in strings."""
    names = {
        node.value
        for node in ast.walk(ast.parse(init.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    files = {name: init.parent / f"{name.rpartition('.')[2]}.py" for name in names}
    return {
        file
        for name, file in files.items()
        if name.endswith(f"{init.parent.name}.{file.stem}") and file.exists()
    }


def rule_of(source: Path) -> str:
    """Returns the rule that a file's name asks for."""
    if source.stem.endswith("_test"):
        return "stepwell_py_test"
    return "stepwell_py_binary" if source.stem.endswith("_main") else RULES[1]


def existing_calls(text: str) -> dict[str, Call]:
    """Returns the calls of a BUILD file by target name ("" for load() and the like)."""
    calls: dict[str, Call] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names = [k.value for k in node.value.keywords if k.arg == "name"]
            name = (
                names[0].value if names and isinstance(names[0], ast.Constant) else ""
            )
            calls[str(name) or f"#{node.lineno}"] = Call(node.value, text)
    return calls


def assignments(text: str) -> list[str]:
    """Returns the constants of a BUILD file, each with the comment above it."""
    lines = text.splitlines()
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign):
            first = node.lineno - 1
            while first > 0 and lines[first - 1].startswith("#"):
                first -= 1
            found.append("\n".join(lines[first : node.end_lineno]))
    return found


def existing_tests(folder: Path) -> dict[str, Call]:
    """Returns the calls of the room's tests.bzl, none where there is no such file."""
    path = folder / TESTS_FILE
    if not path.exists():
        return {}
    body = path.read_text().partition(TESTS_HEAD)[2]
    return existing_calls(textwrap.dedent(body))


def rendered_list(name: str, items: list[str]) -> str:
    """Returns an attribute holding strings, one line where buildifier keeps one."""
    if len(items) == 1:
        return f'    {name} = ["{items[0]}"],'
    lines = "".join(f'        "{item}",\n' for item in items)
    return f"    {name} = [\n{lines}    ],"


def rendered_target(source: Path, call: Call | None) -> str:
    """Returns a target's text: kept attributes of `call`, fresh deps."""
    attributes = {"srcs": rendered_list("srcs", [source.name])}
    for keyword in call.node.keywords if call else []:
        if call and keyword.arg not in ("name", "srcs", "deps", None):
            value = ast.get_source_segment(call.text, keyword.value)
            attributes[str(keyword.arg)] = f"    {keyword.arg} = {value},"
    deps = dependencies(source)
    conftest = source.parent / "conftest.py"
    if rule_of(source) == "stepwell_py_test" and conftest.exists():
        deps = in_order({*deps, *dependencies(conftest)} - {f":{source.stem}"})
    if deps:
        attributes["deps"] = rendered_list("deps", deps)
    first = [key for key in ("size", "testonly", "srcs") if key in attributes]
    rest = sorted(set(attributes) - set(first) - {"deps"})
    order = first + rest + (["deps"] if deps else [])
    body = "\n".join(attributes[key] for key in order)
    return f'{rule_of(source)}(\n    name = "{source.stem}",\n{body}\n)\n'


def rendered_build(folder: Path) -> str:
    """Returns what the BUILD file of a folder has to say."""
    return rendered_files(folder)["BUILD.bazel"]


def rendered_files(folder: Path) -> dict[str, str]:
    """Returns the BUILD file of a folder, and tests.bzl where one file is too long."""
    path = folder / "BUILD.bazel"
    text = path.read_text() if path.exists() else ""
    calls = existing_calls(text) | existing_tests(folder)
    skipped = ("__init__.py", "conftest.py")
    sources = [file for file in sorted(folder.glob("*.py")) if file.name not in skipped]
    targets = {s: rendered_target(s, calls.get(s.stem)) for s in sources}
    whole = _build_text(text, list(sources), targets)
    if whole.count("\n") <= MAX_FILE_LINES:
        return {"BUILD.bazel": whole}
    tests = [s for s in sources if s.stem.endswith("_test")]
    others = [s for s in sources if s not in tests]
    blocks = [textwrap.indent(targets[test], "    ") for test in tests]
    return {
        "BUILD.bazel": _build_text(text, others, targets, tests_apart=True),
        TESTS_FILE: TESTS_HEAD + "".join(blocks),
    }


def _build_text(
    text: str,
    sources: list[Path],
    targets: dict[Path, str],
    tests_apart: bool = False,
) -> str:
    """Returns a BUILD file: its head, loads, what a person wrote, then the targets."""
    stems = {source.stem for source in targets}
    lines = text.splitlines()
    kept, loads = [], []
    for name, call in existing_calls(text).items():
        segment = ast.get_source_segment(text, call.node) or ""
        if lines[call.node.lineno - 1].startswith("load("):
            ours = "stepwell_py_" in segment or TESTS_FILE in segment
            loads += [] if ours else [segment]
        elif segment != TESTS_CALL and name not in stems and call.rule not in RULES:
            kept.append(segment)
    rules = sorted({rule_of(source) for source in sources})
    if rules:
        names = ", ".join(f'"{rule}"' for rule in rules)
        loads.append(f'load("//tools/bazel:defs.bzl", {names})')
    # As buildifier sorts them: other repositories first.
    loads = sorted(loads, key=lambda load: ("@" not in load, load))
    if tests_apart:
        loads.append(f'load(":{TESTS_FILE}", "room_tests")')
        kept.append(TESTS_CALL)
    head = [f"{line}\n" for line in lines[:1] if line.startswith('"""')]
    blocks = head + (["\n".join(loads) + "\n"] if loads else [])
    blocks += [f"{block}\n" for block in [*assignments(text), *kept]]
    return "\n".join(blocks + [targets[source] for source in sources])


def main(argv: list[str]) -> int:
    """Rewrites or checks every package; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("folders", nargs="*", type=Path, help="only these packages")
    args = parser.parse_args(argv)
    folders = {
        file.parent for root in PACKAGE_ROOTS for file in (ROOT / root).rglob("*.py")
    }
    chosen = {folder.resolve() for folder in args.folders} or folders
    differing = []
    for folder in sorted(chosen):
        files = rendered_files(folder)
        if TESTS_FILE not in files and not args.check:
            (folder / TESTS_FILE).unlink(missing_ok=True)
        for name, wanted in files.items():
            path = folder / name
            if path.exists() and path.read_text() == wanted:
                continue
            differing.append(str(path.relative_to(ROOT)))
            if not args.check:
                path.write_text(wanted)
    for name in differing:
        print(f"{'differs from the imports' if args.check else 'written'}: {name}")
    return int(bool(differing) and args.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
