import contextlib
import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError, check_range
from stepwell.experiments.assignment import Layer
from stepwell.experiments.experiment_file import (
    MAX_FILE_BYTES,
    parse_layers,
    read_layers,
)

FILE: dict[str, Any] = {
    "format_version": 1,
    "layers": [
        {
            "name": "retrieval",
            "salt": "2026-11",
            "experiments": [
                {
                    "name": "wide-search",
                    "first_bucket": 0,
                    "arms": [
                        {"name": "control", "num_buckets": 2_000},
                        {
                            "name": "wide",
                            "num_buckets": 2_000,
                            "overrides": {"ef_search": 800},
                        },
                    ],
                },
                {
                    "name": "narrow-search",
                    "first_bucket": 4_000,
                    "arms": [{"name": "control", "num_buckets": 100}],
                },
            ],
        },
        {"name": "reranking", "salt": "x", "experiments": []},
    ],
}


def check(overrides: Mapping[str, float]) -> None:
    for name, value in overrides.items():
        check_range(name, int(value), 1, 1_000)


def parsed(said: object) -> tuple[Layer, ...]:
    return parse_layers(json.dumps(said).encode(), check)


def changed(*path: str | int, to: object) -> dict[str, Any]:
    said = copy.deepcopy(FILE)
    at: Any = said
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return said


def test_a_file_is_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "experiments.json"
    path.write_text(json.dumps(FILE))
    retrieval, reranking = read_layers(path, check)
    wide, narrow = retrieval.experiments
    assert (retrieval.name, retrieval.salt) == ("retrieval", "2026-11")
    assert [arm.name for arm in wide.arms] == ["control", "wide"]
    assert wide.arms[1].overrides == {"ef_search": 800}
    assert (narrow.first_bucket, narrow.end_bucket) == (4_000, 4_100)
    assert reranking.experiments == ()


EXPERIMENT = ("layers", 0, "experiments", 0)
WHERE = "layers.0.experiments.0"
FAULTS: list[tuple[dict[str, Any], str]] = [
    (changed("format_version", to=2), "format_version"),
    (changed("rollout", to=1), "rollout"),
    (changed("layers", 0, "salt", to=""), "layers.0.salt"),
    (changed("layers", 0, "name", to="a b"), "layers.0.name"),
    (changed(*EXPERIMENT, "arms", to=[]), f"{WHERE}.arms"),
    (changed(*EXPERIMENT, "first_bucket", to="0"), f"{WHERE}.first_bucket"),
    (
        changed(*EXPERIMENT, "arms", 0, "num_buckets", to=10_001),
        f"{WHERE}.arms.0.num_buckets",
    ),
    (changed(*EXPERIMENT, "arms", 0, "share", to=0.5), f"{WHERE}.arms.0.share"),
    (
        changed(*EXPERIMENT, "arms", 1, "overrides", "ef_search", to=1_001),
        f"{WHERE}.arms.1.overrides.ef_search",
    ),
    (
        changed(*EXPERIMENT, "arms", 1, "overrides", "ef_search", to="wide"),
        f"{WHERE}.arms.1.overrides.ef_search",
    ),
    (changed(*EXPERIMENT, "arms", 1, "name", to="control"), f"{WHERE}.arms"),
    (changed(*EXPERIMENT, "first_bucket", to=8_000), f"{WHERE}.num_buckets"),
    (changed(*EXPERIMENT, "first_bucket", to=500), "layers.0.first_bucket"),
    (changed(*EXPERIMENT, "name", to="narrow-search"), "name"),
    (changed("layers", 1, "name", to="retrieval"), "name"),
    (
        changed(
            *("layers", 1, "experiments"),
            to=[
                {
                    "name": "other",
                    "first_bucket": 0,
                    "arms": [
                        {
                            "name": "a",
                            "num_buckets": 1,
                            "overrides": {"ef_search": 9},
                        }
                    ],
                }
            ],
        ),
        "ef_search",
    ),
]


@pytest.mark.parametrize(("said", "field"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_anywhere_refuses_the_file_and_names_the_field(
    said: dict[str, Any], field: str
) -> None:
    parsed(FILE)
    with pytest.raises(InvalidArgumentError) as refused:
        parsed(said)
    assert refused.value.field == field
    assert field.rsplit(".", 1)[-1] in str(refused.value)


def _cut(path: Path) -> None:
    path.write_text(json.dumps(FILE)[:-5])


def _huge(path: Path) -> None:
    path.write_bytes(b" " * (MAX_FILE_BYTES + 1))


def _no_text(path: Path) -> None:
    path.write_bytes(b"\xff\x00")


@pytest.mark.parametrize(
    "write", [_cut, _huge, _no_text, Path.mkdir, lambda path: None]
)
def test_what_is_no_such_file_is_refused_by_name(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "experiments.json"
    write(path)
    with pytest.raises(InvalidArgumentError, match=r"experiments\.json"):
        read_layers(path, check)


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_whatever_a_byte_becomes_it_is_read_or_refused(at: int, byte: int) -> None:
    text = bytearray(json.dumps(FILE).encode())
    text[at % len(text)] = byte
    with contextlib.suppress(InvalidArgumentError):
        parse_layers(bytes(text), check)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["layers", "format_version", "name", "arms", "salt"]), inner
        )
    ),
    max_leaves=20,
)


@given(said=_JSON)
def test_any_other_json_is_refused(said: object) -> None:
    with contextlib.suppress(InvalidArgumentError):
        assert parsed(said) == ()


def test_json_without_end_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        parse_layers(b"[" * 100_000, check)
