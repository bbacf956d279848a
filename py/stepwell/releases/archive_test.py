import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell.base.errors import (
    AlreadyExistsError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.releases.archive import complete_release, read_archive, write_archive
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.verification import verify_release

SIGNER = SigningKey.generate()
KEY = SIGNER.verifying_key()
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """v000001, and v000002 as a delta on it."""
    trained = tmp_path / "trained"
    (trained / "tables").mkdir(parents=True)
    (trained / "index.hnsw").write_bytes(bytes(range(256)) * 4_000)
    (trained / "tables" / "items").write_bytes(b"x" * 999)
    publisher = Publisher(tmp_path / "registry", SIGNER)
    publisher.publish(trained, METADATA)
    (trained / "tables" / "items").write_bytes(b"y" * 1_024)
    publisher.publish(trained, METADATA, base=1)
    return tmp_path / "registry"


def export(registry: Path, serial: int, path: Path) -> Path:
    with complete_release(registry, serial, KEY) as (directory, manifest):
        write_archive(directory, manifest, path)
    return path


@pytest.fixture
def archive(registry: Path, tmp_path: Path) -> Path:
    return export(registry, 1, tmp_path / "one.tar")


def unpacked(path: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    return read_archive(path, KEY, folder)


def test_what_goes_out_comes_in(registry: Path, archive: Path, tmp_path: Path) -> None:
    directory = unpacked(archive, tmp_path)
    assert verify_release(directory, KEY) == verify_release(registry / "v000001", KEY)


def test_a_delta_goes_out_complete(registry: Path, tmp_path: Path) -> None:
    directory = unpacked(export(registry, 2, tmp_path / "two.tar"), tmp_path)
    assert (directory / "index.hnsw").read_bytes()[:3] == b"\0\1\2"
    assert (directory / "tables" / "items").read_bytes() == b"y" * 1_024


def test_the_same_release_gives_the_same_bytes_that_any_tar_reads(
    registry: Path, archive: Path, tmp_path: Path
) -> None:
    again = export(registry, 1, tmp_path / "again.tar")
    assert again.read_bytes() == archive.read_bytes()
    with tarfile.open(archive) as opened:
        assert opened.getnames() == [
            "v000001/manifest.json",
            "v000001/index.hnsw",
            "v000001/tables/items",
        ]


def test_nothing_is_written_over(registry: Path, archive: Path) -> None:
    with pytest.raises(AlreadyExistsError, match=r"one\.tar"):
        export(registry, 1, archive)
    with pytest.raises(NotFoundError, match="v000009"):
        export(registry, 9, archive)


def test_a_name_too_long_for_the_form_is_named(tmp_path: Path) -> None:
    trained = tmp_path / "long"
    trained.mkdir()
    (trained / ("a" * 120)).write_bytes(b"x")
    Publisher(tmp_path / "other", SIGNER).publish(trained, METADATA)
    with pytest.raises(InvalidArgumentError, match="too long"):
        export(tmp_path / "other", 1, tmp_path / "long.tar")
    assert not list(tmp_path.glob("long.tar*"))


def test_a_stranger_s_release_is_refused_before_it_is_unpacked(
    archive: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    with pytest.raises(DataLossError, match="signature"):
        read_archive(archive, SigningKey.generate().verifying_key(), folder)
    assert list(folder.iterdir()) == []


def rewritten(
    archive: Path, change: Callable[[tarfile.TarInfo], None], number: int
) -> None:
    """Writes the archive again with one member's header changed."""
    written = io.BytesIO()
    with (
        tarfile.open(archive) as old,
        tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for place, member in enumerate(old.getmembers()):
            content = old.extractfile(member)
            assert content is not None
            if place == number:
                change(member)
            new.addfile(member, content if member.isreg() else None)
    archive.write_bytes(written.getvalue())


def named(name: str) -> Callable[[tarfile.TarInfo], None]:
    return lambda member: setattr(member, "name", name)


def typed(kind: bytes) -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "/etc/hostname", 0

    return change


@pytest.mark.parametrize(
    ("change", "number", "reason"),
    [
        (named("v000001/../../escaped"), 1, "manifest has index.hnsw"),
        (named("/etc/escaped"), 1, "manifest has index.hnsw"),
        (named("v000002/index.hnsw"), 1, "manifest has index.hnsw"),
        (named("v000001/tables/items"), 1, "manifest has index.hnsw"),
        (named("index.hnsw"), 0, "not with a manifest"),
        (named("../manifest.json"), 0, "not with a manifest"),
        (typed(tarfile.SYMTYPE), 1, "no regular file"),
        (typed(tarfile.LNKTYPE), 2, "no regular file"),
        (typed(tarfile.CHRTYPE), 1, "no regular file"),
        (typed(tarfile.DIRTYPE), 1, "no regular file"),
        (typed(tarfile.XHDTYPE), 1, "no regular file"),
        (typed(tarfile.GNUTYPE_LONGNAME), 1, "no regular file"),
        (typed(tarfile.GNUTYPE_SPARSE), 1, "no regular file"),
    ],
)
def test_an_archive_that_lies_is_refused(
    archive: Path,
    tmp_path: Path,
    change: Callable[[tarfile.TarInfo], None],
    number: int,
    reason: str,
) -> None:
    rewritten(archive, change, number)
    with pytest.raises(DataLossError, match=reason):
        unpacked(archive, tmp_path)
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("size", [0, 100, 512, 1_500, 100_000])
def test_an_archive_cut_short_is_refused(
    archive: Path, tmp_path: Path, size: int
) -> None:
    archive.write_bytes(archive.read_bytes()[:size])
    with pytest.raises(DataLossError):
        unpacked(archive, tmp_path)


def test_a_size_beyond_the_manifests_is_refused_before_it_is_read(
    archive: Path, tmp_path: Path
) -> None:
    content = bytearray(archive.read_bytes())
    info = tarfile.TarInfo("v000001/manifest.json")
    info.size = 1 << 33
    content[:512] = info.tobuf(tarfile.GNU_FORMAT)
    archive.write_bytes(content)
    with pytest.raises(DataLossError, match="manifest has 8589934592 bytes"):
        unpacked(archive, tmp_path)


def test_a_flipped_bit_and_a_tail_are_found(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 1
    archive.write_bytes(damaged)
    with pytest.raises(DataLossError, match="SHA-256"):
        unpacked(archive, tmp_path)
    archive.write_bytes(whole[: -2 * 512] + b"more" * 256)
    folder = tmp_path / "again"
    folder.mkdir()
    with pytest.raises(DataLossError, match="goes on after"):
        read_archive(archive, KEY, folder)
