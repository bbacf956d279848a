"""The table of limits says what the .proto files say."""

import re
from pathlib import Path

import stepwell_pb.v1.recommend_pb2 as _anchor
from stepwell.serving.limits import LIMITS, Limit

_LIMIT = re.compile(r"\[limit: (\d+)\.\.(\d+)(?: (\w+))?\]")
_TYPE = r"(?:repeated |optional )?(?:map<\w+, \w+>|[\w.]+)"
_FIELD = re.compile(rf"\s*{_TYPE} (\w+) = \d+.*;")


def _proto_files() -> list[Path]:
    source_root = Path(__file__).resolve().parents[3] / "proto/stepwell_pb/v1"
    beside_code = Path(_anchor.__file__).parent
    for folder in (source_root, beside_code):
        files = sorted(folder.glob("*.proto"))
        if files:
            return files
    raise AssertionError("no .proto files found")


def _documented(files: list[Path]) -> dict[str, dict[str, Limit]]:
    found: dict[str, dict[str, Limit]] = {}
    for file in files:
        message, comment = "", ""
        for line in file.read_text().splitlines():
            if opened := re.match(r"message (\w+) \{", line):
                message, comment = opened[1], ""
            elif line.strip().startswith("//"):
                comment += line
            elif field := _FIELD.match(line):
                limits = [
                    Limit(int(low), int(high), unit)
                    for low, high, unit in _LIMIT.findall(comment)
                ]
                if limits:
                    each = limits[1] if len(limits) > 1 else None
                    whole = Limit(limits[0].low, limits[0].high, limits[0].unit, each)
                    found.setdefault(message, {})[field[1]] = whole
                comment = ""
    return found


def test_the_table_equals_the_comments_of_the_proto_files() -> None:
    documented = _documented(_proto_files())
    assert {name: dict(fields) for name, fields in LIMITS.items()} == documented


def test_a_limit_reads_as_a_range_with_its_unit() -> None:
    assert str(Limit(1, 256, "bytes")) == "[1, 256] bytes"
    assert str(Limit(1, 500)) == "[1, 500]"
