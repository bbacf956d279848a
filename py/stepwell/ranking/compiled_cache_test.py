"""Packed rankers that are kept: whole or not at all, and only of the same inputs."""

import os
from pathlib import Path

import numpy as np
import pytest
import structlog

from stepwell.base.pace import Pace
from stepwell.models.ranker_config import CLIP
from stepwell.ops.fused_ranker import PackedRanker
from stepwell.ranking.compiled_cache import (
    MAX_ENTRIES,
    CompiledCache,
    compiled_key,
)

PACKED = PackedRanker(
    weights=np.arange(100, dtype=np.uint8),
    plan=np.arange(7, dtype=np.int64),
    items=np.arange(64, dtype=np.uint8),
    clip=CLIP,
)
DIGESTS = {"full_ranker.safetensors": "a" * 64, "item_columns.safetensors": "b" * 64}


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    return CompiledCache(tmp_path / "compiled")


def same(one: PackedRanker | None, other: PackedRanker) -> bool:
    return (
        one is not None
        and one.clip == other.clip
        and np.array_equal(one.weights, other.weights)
        and np.array_equal(one.plan, other.plan)
        and np.array_equal(one.items, other.items)
    )


def test_what_was_kept_comes_back_aligned_as_the_kernel_wants_it(
    cache: CompiledCache,
) -> None:
    assert cache.load("one") is None
    cache.store("one", PACKED)
    kept = cache.load("one")
    assert same(kept, PACKED) and kept is not None
    assert kept.weights.ctypes.data % 64 == kept.items.ctypes.data % 64 == 0
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in cache.folder.iterdir()] == ["one"]


@pytest.mark.parametrize("part", ["weights", "plan", "items", "about.json"])
@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_flipped_bit_makes_an_entry_worthless(
    cache: CompiledCache, part: str, place: int
) -> None:
    cache.store("one", PACKED)
    path = cache.folder / "one" / part
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert cache.load("one") is None
    cache.store("one", PACKED)
    assert same(cache.load("one"), PACKED)


def test_a_large_ranker_is_read_in_steps(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.ranking.compiled_cache._STEP_BYTES", 10)
    cache.store("one", PACKED)
    now, rests = [0.0], list[float]()

    def used() -> float:
        now[0] += 0.002
        return now[0]

    pace = Pace(0.5, rests.append, used)
    pace.begin()
    assert same(cache.load("one", pace), PACKED)
    assert len(rests) == 10 + 6 + 7


def test_a_short_part_makes_an_entry_worthless(cache: CompiledCache) -> None:
    cache.store("one", PACKED)
    (cache.folder / "one" / "items").write_bytes(b"")
    assert cache.load("one") is None


def test_the_key_changes_with_every_input() -> None:
    key = compiled_key(DIGESTS, "bfloat16")
    assert key == compiled_key(dict(DIGESTS), "bfloat16")
    assert key != compiled_key(DIGESTS, "int8")
    assert key != compiled_key(DIGESTS | {"ranker_config.json": "c" * 64}, "bfloat16")


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CompiledCache(tmp_path / "file" / "compiled")
    cache.store("one", PACKED)
    assert cache.load("one") is None


def test_who_comes_second_with_the_same_ranker_leaves_the_first_alone(
    cache: CompiledCache,
) -> None:
    cache.store("one", PACKED)
    before = (cache.folder / "one" / "items").stat().st_ino
    with structlog.testing.capture_logs() as logs:
        cache.store("one", PACKED)
    assert (cache.folder / "one" / "items").stat().st_ino == before
    assert logs == [] and [path.name for path in cache.folder.iterdir()] == ["one"]


def test_a_folder_that_others_can_write_is_not_believed(cache: CompiledCache) -> None:
    cache.store("one", PACKED)
    cache.folder.chmod(0o777)
    assert cache.load("one") is None


def test_the_oldest_entries_go(cache: CompiledCache) -> None:
    for number in range(MAX_ENTRIES + 2):
        cache.store(f"key-{number:02d}", PACKED)
    assert len(list(cache.folder.iterdir())) == MAX_ENTRIES
    assert same(cache.load(f"key-{MAX_ENTRIES + 1:02d}"), PACKED)


def test_the_newest_entry_stays_whatever_its_size(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.ranking.compiled_cache.MAX_BYTES", 100)
    cache.store("old", PACKED)
    cache.store("new", PACKED)
    assert [path.name for path in cache.folder.iterdir()] == ["new"]


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(
    cache: CompiledCache,
) -> None:
    cache.store("one", PACKED)
    for name, age_seconds in ((".killed", 7_200), (".written", 60)):
        staged = cache.folder / name
        staged.mkdir()
        (staged / "weights").write_bytes(b"half")
        written_at = (cache.folder / "one").stat().st_mtime - age_seconds
        os.utime(staged, (written_at, written_at))
    cache.store("two", PACKED)
    names = {path.name for path in cache.folder.iterdir()}
    assert names == {".written", "one", "two"}
