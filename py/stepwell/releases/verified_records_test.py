"""A record holds for the very files that were read, for this user, for a while."""

import os
import shutil
from pathlib import Path

import pytest

from stepwell.releases.verified_records import (
    MAX_AGE_SECONDS,
    VerifiedRecords,
    identity_of,
)


class Day:
    """The time of day of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ahead = 0.0

    def now(self) -> float:
        newest = max(path.lstat().st_mtime for path in self.folder.iterdir())
        return newest + self.ahead


@pytest.fixture
def release(tmp_path: Path) -> Path:
    directory = tmp_path / "v000001"
    directory.mkdir()
    (directory / "manifest.json").write_text("{}")
    (directory / "weights").write_bytes(b"weights")
    return directory


def test_a_record_holds_until_it_is_too_old(release: Path, tmp_path: Path) -> None:
    day = Day(tmp_path / "records")
    records = VerifiedRecords(day.folder, day.now)
    identity = identity_of(release)
    assert not records.has(identity)
    day.folder.mkdir(mode=0o700)
    records.add(identity)
    assert records.has(identity) and records.has(identity_of(release))
    day.ahead = MAX_AGE_SECONDS + 1
    assert not records.has(identity)


@pytest.mark.parametrize("change", ["content", "touch", "copy", "more", "manifest"])
def test_any_change_of_the_files_is_another_release(
    release: Path, change: str, tmp_path: Path
) -> None:
    before = identity_of(release)
    weights = release / "weights"
    times = (weights.stat().st_atime_ns, weights.stat().st_mtime_ns)
    match change:
        case "content":
            weights.write_bytes(b"weightz")
            os.utime(weights, ns=times)
        case "touch":
            os.utime(weights, ns=(times[0], times[1] + 1))
        case "copy":
            shutil.copy2(weights, tmp_path / "copy")
            os.replace(tmp_path / "copy", weights)
        case "more":
            (release / "more").write_bytes(b"")
        case "manifest":
            (release / "manifest.json").write_text("{} ")
    assert identity_of(release) != before


def test_another_name_elsewhere_is_seen_where_links_count(release: Path) -> None:
    before, unlinked = identity_of(release), identity_of(release, links=False)
    os.link(release / "weights", release.parent / "another name")
    assert identity_of(release) != before
    assert identity_of(release, links=False) == unlinked


def test_a_folder_that_others_can_write_says_nothing(
    release: Path, tmp_path: Path
) -> None:
    records = VerifiedRecords(tmp_path / "records")
    records.add(identity_of(release))
    (tmp_path / "records").chmod(0o777)
    assert not records.has(identity_of(release))
