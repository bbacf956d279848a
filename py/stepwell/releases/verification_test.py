"""Bad releases: each is refused with its reason, before anything in it is parsed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    StepwellError,
    UnavailableError,
)
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.manifest import (
    Manifest,
    ReleaseMetadata,
    canonical_json,
    parse_manifest,
)
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey, VerifyingKey
from stepwell.schema.feature_registry import RANKER_SERVICE

KEY = SigningKey.generate()
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    (trained / "index.hnsw").write_bytes(b"graph" * 64)
    return Publisher(tmp_path / "registry", KEY).publish(trained, METADATA)


def never_built(directory: Path, manifest: Manifest) -> str:
    pytest.fail(f"{directory} was parsed")


def edited(key: SigningKey | None, **changes: object) -> Callable[[Path], None]:
    """Changes the manifest; signs it again with `key` when there is one."""

    def edit(directory: Path) -> None:
        path = directory / "manifest.json"
        fields = json.loads(path.read_bytes()) | changes
        if key is not None:
            unsigned = {k: v for k, v in fields.items() if k != "signature"}
            fields["signature"] = key.sign(canonical_json(unsigned)).hex()
        path.write_bytes(canonical_json(fields))

    return edit


def file_entry(path: str) -> list[dict[str, object]]:
    return [{"path": path, "size_bytes": 1, "sha256": "0" * 64}]


def _flip(directory: Path) -> None:
    content = bytearray((directory / "model.safetensors").read_bytes())
    content[1_000] ^= 1
    (directory / "model.safetensors").write_bytes(bytes(content))


def _link(directory: Path) -> None:
    (directory / "index.hnsw").rename(directory.parent / "elsewhere")
    (directory / "index.hnsw").symlink_to(directory.parent / "elsewhere")


def _link_manifest(directory: Path) -> None:
    (directory / "manifest.json").rename(directory.parent / "elsewhere.json")
    (directory / "manifest.json").symlink_to(directory.parent / "elsewhere.json")


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda directory: _ignore((directory / name).write_bytes(content))


def _ignore(_: object) -> None:
    return None


def _manifest_as(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        (directory / "manifest.json").unlink()
        make(directory / "manifest.json")

    return edit


def _with_number(number: str) -> Callable[[Path], None]:
    """A model's configuration that the parser takes, and JSON cannot write."""

    def edit(directory: Path) -> None:
        edited(None, metadata=METADATA.model_dump() | {"models": {"a": "number"}})(
            directory
        )
        path = directory / "manifest.json"
        path.write_bytes(path.read_bytes().replace(b'"number"', number.encode()))

    return edit


BAD_RELEASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "flipped bit": (_flip, "SHA-256"),
    "truncated": (_write("index.hnsw", b"graph"), "5 bytes, must be 320"),
    "emptied": (_write("index.hnsw", b""), "0 bytes"),
    "file missing": (lambda d: (d / "index.hnsw").unlink(), "index.hnsw is missing"),
    "foreign file": (_write("evil.pkl", b"x"), "evil.pkl is not in the manifest"),
    "link": (_link, "not a regular file"),
    "manifest is a link": (_link_manifest, "is a link"),
    "manifest is a pipe": (_manifest_as(os.mkfifo), "not a regular file"),
    "manifest is a folder": (_manifest_as(os.mkdir), "not a regular file"),
    "manifest empty": (_write("manifest.json", b""), "manifest"),
    "manifest no JSON": (_write("manifest.json", b"\x80\x04."), "manifest"),
    "manifest huge": (_write("manifest.json", b" " * (2 << 20)), "may have"),
    "manifest nested": (_write("manifest.json", b"[" * 100_000), "manifest"),
    "not a number": (_with_number("NaN"), "metadata.models"),
    "number too large": (_with_number("1e999"), "metadata.models"),
    "unsigned": (edited(None, signature="0" * 128), "signature"),
    "signature missing": (edited(None, signature=""), "signature"),
    "changed after signing": (edited(None, created_time_seconds=7), "signature"),
    "signed by a stranger": (edited(SigningKey.generate()), "signature"),
    "other version": (edited(KEY, format_version=2), "format_version"),
    "unknown field": (edited(KEY, surprise=1), "surprise"),
    "wrong type": (edited(KEY, serial="1"), "serial"),
    "serial zero": (edited(KEY, serial=0), "serial"),
    "other serial": (edited(KEY, serial=7), "several names"),
    "other id": (edited(KEY, release_id="v000002"), "several names"),
    "id with a path": (edited(KEY, release_id="../v000001"), "release_id"),
    "no files": (edited(KEY, files=[]), "files"),
    "path above": (edited(KEY, files=file_entry("../secret")), "files"),
    "path absolute": (edited(KEY, files=file_entry("/etc/passwd")), "files"),
    "path hidden": (edited(KEY, files=file_entry(".ssh")), "files"),
    "path with a newline": (edited(KEY, files=file_entry("a\n")), "files"),
    "file twice": (edited(KEY, files=file_entry("a") * 2), "twice"),
    "file of negative size": (
        edited(KEY, files=[file_entry("a")[0] | {"size_bytes": -1}]),
        "size_bytes",
    ),
    "too many files": (
        edited(KEY, files=[file_entry(f"f{n}")[0] for n in range(257)]),
        "files",
    ),
    "other embedding space": (
        edited(
            KEY,
            metadata=METADATA.model_dump()
            | {"embedding_spaces": {"index.hnsw": "d" * 64}},
        ),
        "embedding space dddd",
    ),
}


@pytest.mark.parametrize("fault", BAD_RELEASES)
def test_a_bad_release_is_refused_with_its_reason(directory: Path, fault: str) -> None:
    damage, reason = BAD_RELEASES[fault]
    damage(directory)
    with pytest.raises(DataLossError, match=reason):
        Loader(KEY.verifying_key(), never_built).load(directory)


@pytest.mark.parametrize(
    ("named", "said"),
    [("d" * 64, "dddddddddddddddd; this"), (None, "none, as older versions did; this")],
)
def test_a_release_of_other_features_is_refused_with_both_hashes(
    directory: Path, named: str | None, said: str
) -> None:
    path = directory / "manifest.json"
    manifest = parse_manifest(path.read_bytes())
    changed = manifest.model_copy(update={"feature_service_hash": named})
    signature = KEY.sign(changed.signed_bytes()).hex()
    signed = changed.model_copy(update={"signature": signature})
    path.write_bytes(signed.to_json())
    assert (b"feature_service_hash" in signed.to_json()) == (named is not None)
    own = RANKER_SERVICE.schema_hash()[:16]
    reason = f"v000001 names feature service {said} version has {own}: publish again"
    with pytest.raises(FailedPreconditionError, match=reason):
        Loader(KEY.verifying_key(), never_built).load(directory)


def test_a_folder_without_a_manifest_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="manifest"):
        Loader(KEY.verifying_key(), never_built).load(tmp_path)


def test_a_good_release_is_built_from_its_complete_files(directory: Path) -> None:
    loader = Loader(
        KEY.verifying_key(),
        build=lambda where, manifest: f"{where} {manifest.serial}",
        complete=lambda where, manifest: where / manifest.release_id,
    )
    release = loader.load(directory)
    assert release.directory == directory
    assert release.content == f"{directory / 'v000001'} 1"


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "no space")])
def test_what_this_machine_lacks_does_not_condemn_a_release(
    directory: Path, error: Exception
) -> None:
    def build(where: Path, manifest: Manifest) -> str:
        raise error

    with pytest.raises(UnavailableError, match="v000001 could not be loaded now"):
        Loader(KEY.verifying_key(), build).load(directory)


@pytest.mark.parametrize("error", [ValueError("bad header"), KeyError("dim")])
def test_a_release_that_cannot_be_built_is_refused(
    directory: Path, error: Exception
) -> None:
    def build(where: Path, manifest: Manifest) -> str:
        raise error

    with pytest.raises(StepwellError, match="v000001 was verified but cannot serve"):
        Loader(KEY.verifying_key(), build).load(directory)


def test_the_registrys_own_key_is_trusted_unless_another_is_given(
    directory: Path, tmp_path: Path
) -> None:
    registry = directory.parent
    assert trusted_key(registry).pem() == KEY.verifying_key().pem()
    other = SigningKey.generate().verifying_key()
    (tmp_path / "other.pem").write_bytes(other.pem())
    chosen = trusted_key(registry, tmp_path / "other.pem")
    with pytest.raises(DataLossError, match="signature"):
        Loader(chosen, never_built).load(directory)
    with pytest.raises(NotFoundError, match="publish a release first"):
        trusted_key(tmp_path / "empty")


def test_a_file_that_is_no_key_is_refused() -> None:
    with pytest.raises(DataLossError, match="no public key"):
        VerifyingKey.from_pem(b"-----BEGIN PUBLIC KEY-----")
