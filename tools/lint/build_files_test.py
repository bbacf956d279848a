"""Targets as the imports ask for them; what a person wrote beside them stays."""

from pathlib import Path

import pytest

from lint import build_files

HEAD = """\
load("//tools/bazel:defs.bzl", "stepwell_py_library", "stepwell_py_test")

stepwell_py_library(
    name = "clock",
    srcs = ["clock.py"],
)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build_files, "ROOT", tmp_path)
    base = tmp_path / "py/stepwell/base"
    write(tmp_path / "py/stepwell/__init__.py", '"""The server."""\n')
    write(base / "__init__.py", '"""The foundation."""\n')
    write(base / "clock.py", "import time\n")
    write(base / "clock_test.py", "from stepwell.base.clock import Clock\n")
    write(base / "BUILD.bazel", build_files.rendered_build(base))
    return base


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def deps_of(base: Path, text: str) -> list[str]:
    write(base / "asks.py", text)
    return build_files.dependencies(base / "asks.py")


def test_each_file_is_a_target_with_the_deps_of_its_imports(base: Path) -> None:
    test = HEAD + (
        '\nstepwell_py_test(\n    name = "clock_test",\n'
        '    srcs = ["clock_test.py"],\n    deps = [":clock"],\n)\n'
    )
    assert build_files.rendered_build(base) == test


def test_what_a_person_added_to_a_target_is_kept(base: Path) -> None:
    path = base / "BUILD.bazel"
    path.write_text(
        path.read_text().replace(
            'name = "clock",', 'name = "clock",\n    data = [":x"],'
        )
        + '\nfilegroup(\n    name = "x",\n    srcs = ["x.bin"],\n)\n'
    )
    written = build_files.rendered_build(base)
    assert 'data = [":x"],' in written
    assert 'filegroup(\n    name = "x",' in written
    path.write_text(written)
    assert build_files.rendered_build(base) == written


def test_a_target_whose_file_is_gone_goes(base: Path) -> None:
    (base / "clock_test.py").unlink()
    assert "clock_test" not in build_files.rendered_build(base)


def test_imports_of_foreign_packages_are_no_deps(base: Path) -> None:
    assert deps_of(base, "import numpy\nfrom google.protobuf import any_pb2\n") == []


def test_an_import_inside_a_function_and_for_types_only_counts(base: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "
    assert deps_of(base, text + "from stepwell.base import clock\n") == [":clock"]
    text = "def f():\n    import stepwell.base.clock\n"
    assert deps_of(base, text) == [":clock"]


def test_the_module_of_its_folders_name_is_the_folder() -> None:
    root = build_files.ROOT
    file, other = root / "py/room/front/front.py", root / "py/room/shop/till.py"
    assert build_files.label_of(file, other) == "//py/room/front"
    assert build_files.label_of(file, file.with_name("call.py")) == ":front"


def test_generated_messages_are_one_target(base: Path) -> None:
    text = "from stepwell_pb.v1 import common_pb2, admin_pb2\n"
    assert deps_of(base, text) == [build_files.PROTO_TARGET]


def test_labels_stand_as_buildifier_sorts_them() -> None:
    labels = ["//py/bin/demo:a", "//py/bin:z", ":b", "//py/bin:a"]
    assert build_files.in_order(labels) == [
        ":b",
        "//py/bin:a",
        "//py/bin:z",
        "//py/bin/demo:a",
    ]


def test_check_names_what_differs_and_changes_nothing(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build_files.main([]) == 0
    assert build_files.main(["--check"]) == 0
    write(base / "clock.py", "from stepwell.base import errors\n")
    write(base / "errors.py", "")
    before = (base / "BUILD.bazel").read_text()
    assert build_files.main(["--check"]) == 1
    assert "py/stepwell/base/BUILD.bazel" in capsys.readouterr().out
    assert (base / "BUILD.bazel").read_text() == before
    assert build_files.main([]) == 0
    assert build_files.main(["--check"]) == 0


def test_tests_of_a_room_that_is_too_long_stand_apart(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = base / "clock_test.py"
    write(base / "BUILD.bazel", build_files.rendered_build(base))
    text = (base / "BUILD.bazel").read_text()
    large = text.replace(
        'name = "clock_test",', 'name = "clock_test",\n    data = [":x"],'
    )
    write(base / "BUILD.bazel", large)
    monkeypatch.setattr(build_files, "MAX_FILE_LINES", 10)
    files = build_files.rendered_files(base)
    assert "clock_test" not in files["BUILD.bazel"]
    assert files["BUILD.bazel"].count("room_tests()") == 1
    assert '        data = [":x"],\n' in files["tests.bzl"]
    for name, content in files.items():
        write(base / name, content)
    assert build_files.rendered_files(base) == files
    monkeypatch.setattr(build_files, "MAX_FILE_LINES", 400)
    assert build_files.rendered_build(base).count(test.name) == 1
    assert "room_tests" not in build_files.rendered_build(base)


def test_constants_and_their_comments_are_kept(base: Path) -> None:
    path = base / "BUILD.bazel"
    constant = '# Why it is so.\n_DATA = [":x"]\n'
    load = 'load("//tools/bazel:defs.bzl", "stepwell_py_library", "stepwell_py_test")\n'
    path.write_text(path.read_text().replace(load, f"{load}\n{constant}"))
    assert build_files.rendered_build(base) == path.read_text()


def test_loads_of_other_repositories_come_first(base: Path) -> None:
    path = base / "BUILD.bazel"
    foreign = 'load("@rules_cc//cc:defs.bzl", "cc_binary")\n'
    path.write_text(foreign + path.read_text())
    assert build_files.rendered_build(base) == path.read_text()
