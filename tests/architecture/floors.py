"""Reads the imports of a tree and says which ones cross the floors of the house."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CC_SUFFIXES = (".cc", ".cu", ".cuh", ".h")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
ENTRY_POINT_FLOOR = 90
# Roots that code imports from, and the folder that a first name is looked up in.
IMPORT_ROOTS = ("py/bin", "tests", "tools", "loadtest")


@dataclass(frozen=True, slots=True)
class Layers:
    """The table of tools/lint/layers.toml."""

    floors: dict[str, int]
    entry_points: tuple[str, ...]
    only: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, list[str]] = field(default_factory=dict)
    exceptions: tuple[dict[str, str], ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Layers":
        """Reads the table; an exception without a reason is an error."""
        table: dict[str, Any] = tomllib.loads(path.read_text())
        exceptions = tuple(table.get("exceptions", ()))
        for exception in exceptions:
            if not exception.get("reason"):
                raise ValueError(f"{path}: exception without a reason: {exception}")
        return cls(
            floors=table["floors"],
            entry_points=tuple(table["entry_points"]["folders"]),
            only=table.get("only", {}),
            headers=table.get("headers", {}),
            exceptions=exceptions,
        )

    def room_of(self, path: str) -> str | None:
        """Returns the room or entry point that a path of the tree lies in."""
        for room in (*self.floors, *self.entry_points):
            if path == room or path.startswith(f"{room}/"):
                return room
        return None

    def may_import(self, importer: str, imported: str) -> bool:
        """True when a room may see another: itself, or one on a lower floor."""
        if importer == imported or importer in self.entry_points:
            return True
        if imported in self.entry_points:
            return False
        if importer in self.only:
            return imported in self.only[importer]
        return self.floors[imported] < self.floors[importer]


@dataclass(frozen=True, slots=True)
class Edge:
    """One import: the file, its room, and the room or header it names."""

    file: str
    room: str
    imports: str
    line: int


def python_edges(root: Path, layers: Layers) -> Iterator[Edge]:
    """Yields the imports of every Python file that name a room of the tree."""
    for path in sorted(
        path for top in ("py", *IMPORT_ROOTS) for path in (root / top).rglob("*.py")
    ):
        file = path.relative_to(root).as_posix()
        room = layers.room_of(file)
        if room is None:
            continue
        for module, line in imported_modules(ast.parse(path.read_text())):
            imported = room_of_module(root, layers, module)
            if imported is not None:
                yield Edge(file, room, imported, line)


def imported_modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yields (dotted module, line) of every import, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "stepwell":
                for alias in node.names:
                    yield f"stepwell.{alias.name}", node.lineno
            else:
                yield node.module, node.lineno


def room_of_module(root: Path, layers: Layers, module: str) -> str | None:
    """Returns the room a module lies in, None for a foreign package."""
    first, *rest = module.split(".")
    if first == "stepwell_pb":
        return "proto"
    if first == "stepwell":
        return f"py/stepwell/{rest[0]}" if rest else None
    for folder in IMPORT_ROOTS:
        if (root / folder / first).is_dir() or (root / folder / f"{first}.py").exists():
            return folder
    return None


def include_edges(root: Path, layers: Layers) -> Iterator[Edge]:
    """Yields the includes of every C++ and CUDA file, rooms and foreign headers."""
    for path in sorted((root / "cc").rglob("*")):
        if path.suffix not in CC_SUFFIXES:
            continue
        file = path.relative_to(root).as_posix()
        text = path.read_text()
        for match in INCLUDE.finditer(text):
            header = match.group(1)
            line = text.count("\n", 0, match.start()) + 1
            imported = layers.room_of(header) or header
            yield Edge(file, layers.room_of(file) or file, imported, line)


def violations(root: Path, layers: Layers) -> list[str]:
    """Returns one sentence for each edge that the table does not allow."""
    used: set[int] = set()
    found = []
    for edge in (*python_edges(root, layers), *include_edges(root, layers)):
        reason = refusal(edge, layers)
        if reason and not excused(edge, layers, used):
            found.append(f"{edge.file}:{edge.line}: {reason}")
    found += [
        f"layers.toml: exception no longer needed: {exception}"
        for number, exception in enumerate(layers.exceptions)
        if number not in used
    ]
    return found


def refusal(edge: Edge, layers: Layers) -> str | None:
    """Returns why an edge is not allowed, None when it is."""
    if edge.imports in layers.floors or edge.imports in layers.entry_points:
        if edge.room not in layers.floors and edge.room not in layers.entry_points:
            return f"{edge.room} is no room of layers.toml"
        if layers.may_import(edge.room, edge.imports):
            return None
        return f"{edge.room} may not import {edge.imports}"
    if edge.imports.startswith("py/stepwell/"):
        return f"{edge.imports} is no room of layers.toml"
    for prefix, rooms in layers.headers.items():
        if edge.imports.startswith(prefix) and edge.room not in rooms:
            return f"only {rooms or 'nobody'} may include <{edge.imports}>"
    return None


def excused(edge: Edge, layers: Layers, used: set[int]) -> bool:
    """True when an exception names this edge; remembers that it was needed."""
    for number, exception in enumerate(layers.exceptions):
        if (exception["file"], exception["imports"]) == (edge.file, edge.imports):
            used.add(number)
            return True
    return False
