"""No import crosses the floors; and the guard itself sees one that does."""

import ast
import re
from pathlib import Path

import pytest

from architecture.floors import Layers, violations

ROOT = Path(__file__).resolve().parents[2]
LAYERS = Layers.load(ROOT / "tools/lint/layers.toml")


def write(root: Path, file: str, text: str) -> None:
    """Writes one file of a made-up tree."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_no_import_of_this_tree_crosses_a_floor() -> None:
    assert violations(ROOT, LAYERS) == []


def test_every_room_on_disk_is_in_the_table() -> None:
    folders = [path for path in (ROOT / "py/stepwell").iterdir() if path.is_dir()]
    rooms = {f"py/stepwell/{path.name}" for path in folders if any(path.glob("*.py"))}
    rooms |= {f"cc/{path.name}" for path in (ROOT / "cc").iterdir() if path.is_dir()}
    assert rooms - set(LAYERS.floors) == set()


def test_the_page_of_the_architecture_names_every_room() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    block = page.split("## Floors")[1].split("```")[1]
    named = set(re.findall(r"[\w/]+", block))
    rooms = [room for room in LAYERS.floors if (ROOT / room).is_dir()]
    names = {room.removeprefix("py/stepwell/") for room in rooms if room != "proto"}
    assert names - named == set()


def test_bazel_visibility_and_this_table_are_the_same() -> None:
    constants = {}
    for node in ast.parse((ROOT / "tools/bazel/floors.bzl").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = ast.literal_eval(node.value)
    assert constants["FLOORS"] == LAYERS.floors
    assert tuple(constants["ENTRY_POINTS"]) == LAYERS.entry_points


@pytest.mark.parametrize(
    ("file", "text", "refused"),
    [
        (
            "py/stepwell/base/a.py",
            "import stepwell.pipeline.plan\n",
            "py/stepwell/pipe",
        ),
        ("py/stepwell/ranking/a.py", "from stepwell.features import b\n", "features"),
        ("py/stepwell/serving/a.py", "from stepwell import training\n", "training"),
        (
            "py/stepwell/client/a.py",
            "from stepwell.pipeline import query\n",
            "pipeline",
        ),
        ("py/stepwell/base/a.py", "def f():\n    import stepwell.ops.x\n", "ops"),
        ("py/stepwell/base/a.py", "from stepwell.nowhere import x\n", "no room"),
        ("py/stepwell/attic/a.py", "from stepwell.base import x\n", None),
        ("py/stepwell/ranking/a.py", "from stepwell.pipeline import query\n", None),
        (
            "py/stepwell/ranking/a.py",
            "from stepwell_pb.v1 import recommend_pb2\n",
            None,
        ),
        ("py/bin/a_main.py", "from stepwell.serving import server\n", None),
        ("cc/kernels/a.cu", "#include <torch/csrc/stable/tensor.h>\n", "torch/"),
        ("cc/index/a.h", "#include <pybind11/pybind11.h>\n", "pybind11/"),
        ("cc/index/a.cc", '#include "cc/kernels/topk/topk.h"\n', "cc/kernels"),
        ("cc/base/a.cc", "#include <grpcpp/grpcpp.h>\n", "grpc"),
        ("cc/ops/a.cc", '#include "cc/kernels/topk/topk.h"\n', None),
    ],
)
def test_an_import_is_refused_when_it_crosses_a_floor(
    tmp_path: Path, file: str, text: str, refused: str | None
) -> None:
    write(tmp_path, file, text)
    found = violations(tmp_path, LAYERS)
    if refused is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(file)
        assert refused in found[0]


def test_a_room_may_not_import_an_entry_point(tmp_path: Path) -> None:
    write(tmp_path, "py/bin/commands/demo.py", "")
    write(tmp_path, "py/stepwell/base/a.py", "from commands import demo\n")
    assert violations(tmp_path, LAYERS) == [
        "py/stepwell/base/a.py:1: py/stepwell/base may not import py/bin"
    ]


EXCEPTION = {
    "file": "py/stepwell/base/a.py",
    "imports": "py/stepwell/ops",
    "reason": "shown in a test",
}


def test_an_exception_with_a_reason_excuses_one_edge(tmp_path: Path) -> None:
    write(tmp_path, "py/stepwell/base/a.py", "import stepwell.ops\n")
    layers = Layers(LAYERS.floors, LAYERS.entry_points, exceptions=(EXCEPTION,))
    assert violations(tmp_path, layers) == []


def test_an_exception_that_nothing_needs_is_reported(tmp_path: Path) -> None:
    layers = Layers(LAYERS.floors, LAYERS.entry_points, exceptions=(EXCEPTION,))
    (found,) = violations(tmp_path, layers)
    assert "no longer needed" in found


def test_an_exception_without_a_reason_is_an_error(tmp_path: Path) -> None:
    table = (ROOT / "tools/lint/layers.toml").read_text()
    extra = '[[exceptions]]\nfile = "a.py"\nimports = "proto"\n'
    write(tmp_path, "layers.toml", table + extra)
    with pytest.raises(ValueError, match="without a reason"):
        Layers.load(tmp_path / "layers.toml")
