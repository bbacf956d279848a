"""The manifest: what a release consists of, signed.

On disk it is manifest.json, canonical JSON of the fields of stepwell_pb.v1's
ReleaseManifest. It is the first thing read of a release and the only thing read before
the signature is known to be good, so everything in it is bounded and strict.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
)

from stepwell.base.errors import DataLossError, NotFoundError

MANIFEST_NAME = "manifest.json"
METADATA_NAME = "release_metadata.json"
"""What training writes beside its artifacts; publishing moves it into the manifest."""
PATCH_SUFFIX = ".delta"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILES = 256
MAX_FILE_BYTES = 1 << 40

_RELEASE_ID = re.compile(r"v[0-9]{6,12}")
# One folder deep at most; no dot in front, so neither "..", hidden files nor "/".
_PATH_PATTERN = (
    r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"
)

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, StringConstraints(pattern=_PATH_PATTERN)]


class StrictModel(BaseModel):
    """A page of a registry: unknown keys and wrong types are errors, never repaired."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReleaseMetadata(StrictModel):
    """What training says of a release; the publisher adds the rest.

    Attributes:
        data_watermark_seconds: event time up to which training saw data, unix seconds.
        embedding_space_hash: names the space that towers and index share.
        feature_schema_hash: of the feature catalogue the models were trained on.
        embedding_spaces: file -> the space it was made for; all must be the release's.
        models: model name -> its configuration, read by the code that has the name.
    """

    data_watermark_seconds: int = Field(ge=0, le=1 << 40)
    embedding_space_hash: Sha256Hex
    feature_schema_hash: Sha256Hex
    embedding_spaces: dict[RelativePath, Sha256Hex] = Field(
        default_factory=dict, max_length=MAX_FILES
    )
    models: dict[str, JsonValue] = Field(default_factory=dict, max_length=64)

    @field_validator("models")
    @classmethod
    def _has_a_canonical_form(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        # The parser takes NaN and 1e999 for numbers; JSON has neither, and what cannot
        # be written cannot be held against a signature.
        canonical_json(value)
        return value

    def save(self, folder: Path) -> None:
        """Writes it into a folder of artifacts."""
        (folder / METADATA_NAME).write_bytes(canonical_json(self.model_dump()))

    @classmethod
    def load(cls, folder: Path) -> "ReleaseMetadata":
        """Reads what `save` wrote.

        Raises:
            NotFoundError: the folder has none.
            DataLossError: names the field that is wrong.
        """
        path = folder / METADATA_NAME
        if not path.exists():
            raise NotFoundError(f"{folder} has no {METADATA_NAME}; is it trained?")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DataLossError(f"{path}: {first_problem(error)}") from error


class ReleaseFile(StrictModel):
    """One file of a release: path relative to it, size and SHA-256."""

    path: RelativePath
    size_bytes: int = Field(ge=1, le=MAX_FILE_BYTES)
    sha256: Sha256Hex


class DeltaBase(StrictModel):
    """The release that a delta changes: its serial and its manifest's SHA-256."""

    serial: int = Field(ge=1, le=10**12 - 1)
    manifest_sha256: Sha256Hex


class Manifest(StrictModel):
    """The whole of a release in one page; see ReleaseManifest for the fields.

    Without `feature_service_hash` it was published before releases had one. A delta has
    a `base` and says in `stored` what lies in its directory: whole files under their
    own path, patches as "<path>.delta". Its `files` are the complete release all the
    same, those that the base and the patches make.
    """

    format_version: Literal[1]
    serial: int = Field(ge=1, le=10**12 - 1)
    release_id: str
    created_time_seconds: int = Field(ge=0, le=1 << 40)
    metadata: ReleaseMetadata
    feature_service_hash: Sha256Hex | None = None
    # Strict mode takes no list for a tuple; JSON has only lists.
    files: tuple[ReleaseFile, ...] = Field(min_length=1, max_length=MAX_FILES)
    base: DeltaBase | None = None
    stored: tuple[ReleaseFile, ...] | None = Field(default=None, max_length=MAX_FILES)
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]

    @field_validator("release_id")
    @classmethod
    def _is_a_release_id(cls, value: str) -> str:
        if serial_of(value) is None:
            raise ValueError(f"{value!r} is not v and 6 to 12 digits")
        return value

    def signed_bytes(self) -> bytes:
        """Returns what the signature covers: canonical JSON of all other fields."""
        return canonical_json(self._fields(exclude={"signature"}))

    def to_json(self) -> bytes:
        """Returns the form on disk."""
        return canonical_json(self._fields(exclude=set()))

    def _fields(self, exclude: set[str]) -> dict[str, JsonValue]:
        # An older manifest keeps its bytes, or its signature would not be good.
        optional = ("feature_service_hash", "base", "stored")
        absent = {name for name in optional if getattr(self, name) is None}
        return self.model_dump(exclude=exclude | absent)

    @property
    def total_bytes(self) -> int:
        """Size of the release's files, those of its base included."""
        return sum(file.size_bytes for file in self.files)

    @property
    def stored_files(self) -> tuple[ReleaseFile, ...]:
        """What lies in the release's directory: all files, or a delta's own."""
        return self.files if self.stored is None else self.stored

    @property
    def stored_bytes(self) -> int:
        """Size of what lies in the release's directory."""
        return sum(file.size_bytes for file in self.stored_files)


def release_id_of(serial: int) -> str:
    """Returns the name of a release's directory, such as "v000042"."""
    return f"v{serial:06d}"


def serial_of(release_id: str) -> int | None:
    """Returns the serial of a release's directory; None for any other name.

    A serial has one name: "v0000042" is none, and neither is "v000000".
    """
    if not _RELEASE_ID.fullmatch(release_id):
        return None
    serial = int(release_id[1:])
    return serial if serial and release_id_of(serial) == release_id else None


def canonical_json(value: object) -> bytes:
    """Returns the one JSON form of a value: sorted keys, no blanks, ASCII, finite."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def parse_manifest(content: bytes) -> Manifest:
    """Reads a manifest; its signature is not checked here.

    Raises:
        DataLossError: too large, no JSON, an unknown or missing field, a value out of
            range, a file named twice, or not in canonical form.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise DataLossError(
            f"manifest has {len(content)} bytes, may have {MAX_MANIFEST_BYTES}"
        )
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise DataLossError(f"manifest: {first_problem(error)}") from error
    for files in (manifest.files, manifest.stored_files):
        paths = [file.path for file in files]
        if len(set(paths)) != len(paths):
            raise DataLossError("manifest: a file is named twice")
    _check_delta(manifest)
    # A second spelling of the same content would carry the same signature.
    if manifest.to_json() != content:
        raise DataLossError("manifest is not in canonical form")
    return manifest


def _check_delta(manifest: Manifest) -> None:
    """What a delta stores are its own files, and patches of them."""
    if manifest.base is None and manifest.stored is None:
        return
    if manifest.base is None or manifest.stored is None:
        raise DataLossError("manifest: base and stored come together")
    if manifest.base.serial >= manifest.serial:
        raise DataLossError(
            f"manifest: {manifest.release_id} is not newer than its base, "
            f"{release_id_of(manifest.base.serial)}"
        )
    files = {file.path: file for file in manifest.files}
    for stored in manifest.stored:
        is_patch = stored.path.removesuffix(PATCH_SUFFIX) in files
        if stored.path.endswith(PATCH_SUFFIX) and is_patch:
            continue
        if files.get(stored.path) != stored:
            raise DataLossError(f"manifest: {stored.path} is stored and no file of it")
    if named := [path for path in files if path.endswith(PATCH_SUFFIX)]:
        raise DataLossError(f"manifest: a delta cannot have a file {named[0]}")


def first_problem(error: ValidationError) -> str:
    """Returns where a page is wrong, and what is."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "document"
    return f"{where}: {problem['msg']}"
