"""Patches: whatever the edit, base and patch make the result; damage is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import DataLossError
from stepwell.releases.delta_patch import apply_patch, patch_bytes, write_patch
from stepwell.releases.delta_runs import LITERAL, Runs, runs_between

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "change", "move"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 9_000),
    ),
    max_size=6,
)


def noise(num_bytes: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(num_bytes)


def runs_of(base: bytes, result: bytes) -> Runs:
    return runs_between(base, np.frombuffer(result, np.uint8))


def rebuilt(base: bytes, runs: Runs, result: bytes) -> bytes:
    made, at = b"", 0
    for offset, length in runs.tolist():
        source, start = (result, at) if offset == LITERAL else (base, offset)
        made += source[start : start + length]
        at += length
    return made


def edited(base: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    content = base
    for kind, where, length in edits:
        at = int(where * (len(content) + 1))
        head, part, tail = (
            content[:at],
            content[at : at + length],
            content[at + length :],
        )
        if kind == "insert":
            content = head + noise(length, length) + part + tail
        elif kind == "delete":
            content = head + tail
        elif kind == "change":
            content = head + bytes(byte ^ 1 for byte in part) + tail
        else:
            content = tail + head + part
    return content


@given(size=st.integers(0, 40_000), edits=EDITS, coarse=st.booleans())
def test_runs_make_the_result_of_any_edit(
    size: int, edits: list[tuple[str, float, int]], coarse: bool
) -> None:
    # Coarse content repeats itself, so that what is found is often the wrong place.
    base = bytes(size // 7) + b"abcdefgh" * (size // 16) if coarse else noise(size)
    result = edited(base, edits)
    assert rebuilt(base, runs_of(base, result), result) == result


def test_a_moved_table_is_found_again() -> None:
    tables = [noise(50_000, seed) for seed in range(4)]
    base = b"".join(tables)
    result = b"".join(table + noise(100, 9) for table in tables)
    runs = runs_of(base, result)
    assert patch_bytes(runs) < 0.15 * len(result)


def test_changed_rows_cost_little_more_than_themselves() -> None:
    base = noise(1_000_000)
    content = np.frombuffer(base, np.uint8).reshape(-1, 250).copy()
    content[::40] ^= 255  # 100 of 4,000 rows
    runs = runs_of(base, content.tobytes())
    assert patch_bytes(runs) < 100 * (250 + 32) + 200


def test_a_file_that_shares_nothing_costs_its_own_size() -> None:
    result = noise(300_000, 2)
    runs = runs_of(noise(300_000, 1), result)
    assert patch_bytes(runs) < 1.001 * len(result) + 100


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, bytes]:
    base = noise(100_000)
    result = edited(base, [("insert", 0.3, 500), ("change", 0.7, 90)])
    (tmp_path / "base").write_bytes(base)
    patch = tmp_path / "result.delta"
    write_patch(patch, len(base), memoryview(result), runs_of(base, result))
    return tmp_path / "base", patch, result


def test_a_patch_makes_the_result_and_its_digest(
    files: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    base, patch, result = files
    digest = apply_patch(base, patch, tmp_path / "made", len(result))
    assert (tmp_path / "made").read_bytes() == result
    assert digest == hashlib.sha256(result).hexdigest()
    assert patch.stat().st_size < 3_000


def _field(number: int, value: int) -> tuple[int, bytes]:
    return 8 + 8 * number, value.to_bytes(8, "little", signed=value < 0)


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (0, b"XXXXXXXX"),
        _field(0, 99_999),
        _field(1, 2**62),
        _field(2, 2**63),
        _field(2, 0),
        _field(3, 99_999),  # the first run leaves the base
        _field(3, -2),
        _field(4, 0),
        _field(4, 2**62),
        _field(4, -(2**63)),
    ],
)
def test_a_damaged_patch_is_refused_before_anything_is_written(
    files: tuple[Path, Path, bytes], tmp_path: Path, at: int, content: bytes
) -> None:
    base, patch, result = files
    damaged = bytearray(patch.read_bytes())
    damaged[at : at + len(content)] = content
    patch.write_bytes(damaged)
    with pytest.raises(DataLossError, match=r"result\.delta"):
        apply_patch(base, patch, tmp_path / "made", len(result))
    assert (tmp_path / "made").stat().st_size == 0


@pytest.mark.parametrize("kept", [0, 7, 31, 40, -1])
def test_a_patch_that_was_cut_off_is_refused(
    files: tuple[Path, Path, bytes], tmp_path: Path, kept: int
) -> None:
    base, patch, result = files
    patch.write_bytes(patch.read_bytes()[:kept])
    with pytest.raises(DataLossError, match=r"result\.delta"):
        apply_patch(base, patch, tmp_path / "made", len(result))


def test_a_base_of_another_size_is_refused(
    files: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    base, patch, result = files
    base.write_bytes(b"short")
    with pytest.raises(DataLossError, match="must make"):
        apply_patch(base, patch, tmp_path / "made", len(result))
