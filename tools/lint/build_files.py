"""Writes the Python targets of BUILD.bazel files from the imports of the sources.

    python tools/lint/build_files.py            rewrite what differs
    python tools/lint/build_files.py --check    exit 1 and name what differs

One target a file, named after it: `*_test.py` is a test, `*_main.py` a binary, the rest
are libraries. `deps` come from the imports; every other attribute that a target already
has (data, size, args, tags ...) is kept, and so are targets of other rules.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable
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
MAX_LINE = 78

Target = dict[str, object]


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
    return f"//{file.parent.relative_to(ROOT)}:{file.stem}"


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


def existing_calls(text: str) -> dict[str, ast.Call]:
    """Returns the calls of a BUILD file by target name ("" for load() and the like)."""
    calls: dict[str, ast.Call] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names = [k.value for k in node.value.keywords if k.arg == "name"]
            name = (
                names[0].value if names and isinstance(names[0], ast.Constant) else ""
            )
            calls[str(name) or f"#{node.lineno}"] = node.value
    return calls


def rendered_list(name: str, items: list[str]) -> str:
    """Returns an attribute holding strings, one line where buildifier keeps one."""
    if len(items) == 1:
        return f'    {name} = ["{items[0]}"],'
    lines = "".join(f'        "{item}",\n' for item in items)
    return f"    {name} = [\n{lines}    ],"


def rendered_target(source: Path, call: ast.Call | None, text: str) -> str:
    """Returns a target's text: kept attributes of `call`, fresh deps."""
    attributes = {"srcs": rendered_list("srcs", [source.name])}
    for keyword in call.keywords if call else []:
        if keyword.arg not in ("name", "srcs", "deps", None):
            value = ast.get_source_segment(text, keyword.value)
            attributes[str(keyword.arg)] = f"    {keyword.arg} = {value},"
    deps = dependencies(source)
    conftest = source.parent / "conftest.py"
    if rule_of(source) == "stepwell_py_test" and conftest.exists():
        deps = in_order({*deps, *dependencies(conftest)} - {f":{source.stem}"})
    if deps:
        attributes["deps"] = rendered_list("deps", deps)
    first = [key for key in ("size", "srcs") if key in attributes]
    rest = sorted(set(attributes) - set(first) - {"deps"})
    order = first + rest + (["deps"] if deps else [])
    body = "\n".join(attributes[key] for key in order)
    return f'{rule_of(source)}(\n    name = "{source.stem}",\n{body}\n)\n'


def rendered_build(folder: Path) -> str:
    """Returns what the BUILD file of a folder has to say."""
    path = folder / "BUILD.bazel"
    text = path.read_text() if path.exists() else ""
    calls = existing_calls(text)
    skipped = ("__init__.py", "conftest.py")
    sources = [file for file in sorted(folder.glob("*.py")) if file.name not in skipped]
    stems = {source.stem for source in sources}
    kept = [
        ast.get_source_segment(text, call) or ""
        for name, call in calls.items()
        if not (isinstance(call.func, ast.Name) and call.func.id in RULES)
        and not text.splitlines()[call.lineno - 1].startswith("load(")
        and name not in stems
    ]
    loads = [
        ast.get_source_segment(text, call) or ""
        for call in calls.values()
        if text.splitlines()[call.lineno - 1].startswith("load(")
        and "stepwell_py_" not in (ast.get_source_segment(text, call) or "")
    ]
    rules = sorted({rule_of(source) for source in sources})
    if rules:
        names = ", ".join(f'"{rule}"' for rule in rules)
        loads.append(f'load("//tools/bazel:defs.bzl", {names})')
    head = [line for line in text.splitlines()[:1] if line.startswith('"""')]
    targets = [rendered_target(s, calls.get(s.stem), text) for s in sources]
    blocks = ["\n".join(sorted(loads)) + "\n"] if loads else []
    blocks = [f"{line}\n" for line in head] + blocks
    return "\n".join(blocks + [f"{block}\n" for block in kept] + targets)


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
        path = folder / "BUILD.bazel"
        wanted = rendered_build(folder)
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
