"""The ways in which a release is bad, by table: what is done to one, what is said.

The first kind is what damage and strangers do: the signature is not over what is there.
The second is signed by the registry's own key: a producer that went wrong, or was taken
over. Those pass every digest, and what reads the files must refuse them.
"""

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from stepwell.releases.manifest import MANIFEST_NAME, canonical_json, release_id_of
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import TRUSTED_KEY_NAME
from stepwell.releases.verification import describe_file, release_paths

RAN_NAME = "it-ran"
"""A file that appears in the release's folder if anything in one is ever run."""

_BOMB_MIB = 256
_STRANGER = SigningKey.generate()
Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad release.

    Attributes:
        name: in the test's report.
        says: a part of the reason for which it is refused.
        damage: done to a release's directory.
        signed: the manifest is made and signed anew over what the damage left.
    """

    name: str
    says: str
    damage: Callable[[Path], None]
    signed: bool = False


def publish_bad(source: Path, key: SigningKey, bad: Bad, serial: int) -> Path:
    """Puts a bad release beside `source`, as a good one of that serial would be.

    Args:
        source: a good release, in its registry.
        key: the registry's.
        bad: what is done to the copy.
        serial: of the copy.
    """
    target = source.parent / release_id_of(serial)
    staged = target.with_suffix(".tmp")
    shutil.copytree(source, staged)
    sign_again(staged, key, serial)
    bad.damage(staged)
    if bad.signed:
        sign_again(staged, key, serial)
    staged.rename(target)
    return target


def sign_again(
    directory: Path, key: SigningKey, serial: int, **changes: object
) -> None:
    """Makes a manifest of what lies in a directory, and signs it.

    Args:
        changes: of the manifest's fields, before it is signed.
    """
    path = directory / MANIFEST_NAME
    fields = json.loads(path.read_bytes())
    files = [
        describe_file(directory, name).model_dump() for name in release_paths(directory)
    ]
    own = {"serial": serial, "release_id": release_id_of(serial), "files": files}
    fields = fields | own | changes
    del fields["signature"]
    fields["signature"] = key.sign(canonical_json(fields)).hex()
    path.write_bytes(canonical_json(fields))


def lone_registry(registry: Path, folder: Path) -> Path:
    """Copies the first release and the key alone; returns the release's directory."""
    folder.mkdir()
    shutil.copy(registry / TRUSTED_KEY_NAME, folder)
    copy = folder / release_id_of(1)
    shutil.copytree(registry / release_id_of(1), copy)
    return copy


def _manifest(edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """An edit of the signed page; the signature stays as it was."""

    def damage(directory: Path) -> None:
        path = directory / MANIFEST_NAME
        fields = json.loads(path.read_bytes())
        edit(fields)
        path.write_bytes(canonical_json(fields))

    return damage


def _not_a_number(directory: Path) -> None:
    """What the parser takes for a number, and JSON cannot write."""
    _manifest(lambda fields: fields["metadata"].update(models={"a": "nan"}))(directory)
    path = directory / MANIFEST_NAME
    path.write_bytes(path.read_bytes().replace(b'"nan"', b"NaN"))


def _by_stranger(directory: Path) -> None:
    serial = json.loads((directory / MANIFEST_NAME).read_bytes())["serial"]
    sign_again(directory, _STRANGER, serial)


def _older_release(directory: Path) -> None:
    """Release 1, whole and signed, under the name of a newer one."""
    older = directory.parent / release_id_of(1)
    shutil.copy(older / MANIFEST_NAME, directory / MANIFEST_NAME)


def _content(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / name).write_bytes(content)

    return damage


def _cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = directory / name
        os.truncate(path, int(path.stat().st_size * share))

    return damage


def _flipped(name: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        content = bytearray((directory / name).read_bytes())
        content[len(content) // 2] ^= 1
        (directory / name).write_bytes(content)

    return damage


def _linked(name: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        elsewhere = directory.parent / f"elsewhere-{name}"
        (directory / name).rename(elsewhere)
        (directory / name).symlink_to(elsewhere)

    return damage


def _linked_folder(directory: Path) -> None:
    (directory / "tables").symlink_to("/etc", target_is_directory=True)


def _instead(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Something that is no regular file in the place of one."""

    def damage(directory: Path) -> None:
        (directory / name).unlink()
        make(directory / name)

    return damage


def _pickled(name: str) -> Callable[[Path], None]:
    """What runs a command when it is unpickled, whatever the file is called."""

    def damage(directory: Path) -> None:
        command = f"touch {directory.parent / RAN_NAME}"
        (directory / name).write_bytes(
            b"cposix\nsystem\n(S'" + command.encode() + b"'\ntR."
        )

    return damage


def _zip_bomb(directory: Path) -> None:
    """A zip as torch writes one, that unpacks to a thousand times its size."""
    path = directory / "full_ranker.safetensors"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/0", bytes(_BOMB_MIB << 20))


def _huge_header(name: str) -> Callable[[Path], None]:
    """A safetensors file whose header says that it has 2^63 bytes."""

    def damage(directory: Path) -> None:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(struct.pack("<Q", 1 << 63) + content[8:])

    return damage


def _tensors(name: str, edit: Callable[[Tensors], None]) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        # Copies: the file may be mapped, and is written over.
        tensors = {key: np.array(t) for key, t in load_file(directory / name).items()}
        edit(tensors)
        save_file(tensors, directory / name)

    return damage


def _set(tensor: str, value: float) -> Callable[[Tensors], None]:
    def edit(tensors: Tensors) -> None:
        tensors[tensor].flat[0] = value

    return edit


def _retyped(tensor: str, dtype: str) -> Callable[[Tensors], None]:
    def edit(tensors: Tensors) -> None:
        tensors[tensor] = tensors[tensor].astype(dtype)

    return edit


def _shorter(tensor: str) -> Callable[[Tensors], None]:
    def edit(tensors: Tensors) -> None:
        tensors[tensor] = tensors[tensor][:-1].copy()

    return edit


def _count_of_index(directory: Path) -> None:
    """The header's number of nodes, far beyond the file."""
    path = directory / "index.hnsw"
    content = bytearray(path.read_bytes())
    content[48:56] = struct.pack("<Q", 1 << 62)
    path.write_bytes(content)


def _config(edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = directory / "ranker_config.json"
        document = json.loads(path.read_text())
        edit(document)
        path.write_text(json.dumps(document))

    return damage


def _other_files(*names: str) -> Callable[[dict[str, Any]], None]:
    """Files of the manifest, by these paths alone."""
    entries = [{"path": n, "size_bytes": 1, "sha256": "0" * 64} for n in names]
    return lambda fields: fields.update(files=entries)


FULL, REDUCED = "full_ranker.safetensors", "reduced_ranker.safetensors"
INDEX, TOWER = "index.hnsw", "user_tower.safetensors"
VOCABULARY, POPULAR = "vocabulary.safetensors", "popular.safetensors"

STRANGERS = (
    Bad("weights truncated", "bytes, must be", _cut(FULL, 0.5)),
    Bad("one bit of the index", "SHA-256", _flipped(INDEX)),
    Bad("weights of 0 bytes", "has 0 bytes", _content(FULL, b"")),
    Bad("unsigned", "signature", _manifest(lambda m: m.update(signature="0" * 128))),
    Bad("signature left out", "signature", _manifest(lambda m: m.pop("signature"))),
    Bad("a stranger's signature", "signature", _by_stranger),
    Bad("an older serial, renamed", "several names", _older_release),
    Bad(
        "serial raised after signing",
        "signature",
        _manifest(lambda m: m.update(created_time_seconds=7)),
    ),
    Bad("path with ..", "files", _manifest(_other_files("../signing.key"))),
    Bad("path from the root", "files", _manifest(_other_files("/etc/passwd"))),
    Bad("file named twice", "twice", _manifest(_other_files("a", "a"))),
    Bad("weights are a link", "not a regular file", _linked(FULL)),
    Bad("manifest is a link", "is a link", _linked(MANIFEST_NAME)),
    Bad("folder is a link", "not a regular file", _linked_folder),
    Bad("file is a pipe", "not a regular file", _instead(POPULAR, os.mkfifo)),
    Bad("manifest is a pipe", "not a regular", _instead(MANIFEST_NAME, os.mkfifo)),
    Bad("manifest is a folder", "not a regular", _instead(MANIFEST_NAME, os.mkdir)),
    Bad(
        "manifest without an end",
        "is a link",
        _instead(MANIFEST_NAME, lambda path: path.symlink_to("/dev/zero")),
    ),
    Bad("a file too many", "not in the manifest", _pickled("conftest.py")),
    Bad("a file too few", "is missing", lambda d: (d / VOCABULARY).unlink()),
    Bad("manifest is a pickle", "manifest", _pickled(MANIFEST_NAME)),
    Bad("manifest nested deep", "manifest", _content(MANIFEST_NAME, b"[" * 200_000)),
    Bad("manifest with a NaN", "metadata.models", _not_a_number),
    Bad("manifest of 2 MiB", "may have", _content(MANIFEST_NAME, bytes(2 << 20))),
)
PRODUCERS = (
    Bad("weights are a pickle", FULL, _pickled(FULL), signed=True),
    Bad("weights are a zip bomb", FULL, _zip_bomb, signed=True),
    Bad("header of 2^63 bytes", FULL, _huge_header(FULL), signed=True),
    Bad(
        "weight not finite",
        "output.weight holds a value that is not finite",
        _tensors(REDUCED, _set("output.weight", np.nan)),
        signed=True,
    ),
    Bad(
        "weight of another dtype",
        "output.bias is int64",
        _tensors(FULL, _retyped("output.bias", "int64")),
        signed=True,
    ),
    Bad(
        "weight of another shape",
        "shapes of the user tower",
        _tensors(TOWER, _shorter("output_bias")),
        signed=True,
    ),
    Bad("index of 2^62 nodes", INDEX, _count_of_index, signed=True),
    Bad(
        "ids that do not tile",
        "do not tile",
        _tensors(VOCABULARY, _set("offsets", 9)),
        signed=True,
    ),
    Bad(
        "popular item that is none",
        "global_rows names rows",
        _tensors(POPULAR, _set("global_rows", 2**31 - 1)),
        signed=True,
    ),
    Bad(
        "config that names code",
        "ranker_config.json",
        _config(lambda c: c["full"].update(module="os", factory="system")),
        signed=True,
    ),
)
BAD_RELEASES = STRANGERS + PRODUCERS
