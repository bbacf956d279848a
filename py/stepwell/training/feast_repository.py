"""A Feast repository, read without Feast: its views as ours, and where their rows are.

`feature_store.yaml` names the registry, a protobuf file written by `feast apply`; the
registry names views, types and the offline Parquet. No Python of the repository is run.
What has no counterpart here is refused one by one, with its reason.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.message import DecodeError

from stepwell.base.errors import DataLossError, InvalidArgumentError, NotFoundError
from stepwell.schema.feature_view import (
    Entity,
    Feature,
    FeatureType,
    FeatureView,
    Source,
    WhenStale,
)
from stepwell_pb.v1 import feast_registry_pb2 as feast

STORE_FILE = "feature_store.yaml"
FOREVER_SECONDS = 100 * 365 * 86_400
"""Feast's ttl of 0: a row never gets too old."""

MAX_STORE_FILE_BYTES = 1 << 20
MAX_REGISTRY_BYTES = 64 << 20
MAX_REAL = 3.0e38

_BATCH_FILE = 1
_NO_ENTITY = "__dummy"
_REMOTE = re.compile(r"^[a-z][a-z0-9+.-]+://")

TEXT = "text"
"""Kind of a column whose values become 64-bit keys of "NAME=value"."""

_KINDS: dict[int, tuple[str, FeatureType, float, float]] = {
    2: (TEXT, "uint64", 0, (1 << 64) - 1),
    3: ("number", "int32", -(1 << 31), (1 << 31) - 1),
    4: ("number", "int64", -(1 << 63), (1 << 63) - 1),
    5: ("number", "float32", -MAX_REAL, MAX_REAL),
    6: ("number", "float32", -MAX_REAL, MAX_REAL),
    7: ("flag", "int32", 0, 1),
    8: ("time", "int64", 0, 4_102_444_800),
}
"""Feast's value types: string, integers, double, float, bool, timestamp."""


@dataclass(frozen=True, slots=True)
class FeastColumn:
    """A feature and the column that holds it."""

    feature: Feature
    column: str
    kind: str


@dataclass(frozen=True, slots=True)
class FeastView:
    """A view and where its rows are.

    Attributes:
        view: the definition, as every other view's.
        path: Parquet, a file or a folder.
        join_key: column of the entity's id.
        event_column, created_column: of the two times; no created column is "".
        columns: of the features, in the view's order.
    """

    view: FeatureView
    path: Path
    join_key: str
    event_column: str
    created_column: str
    columns: tuple[FeastColumn, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something of the repository that was not taken over, and why."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class FeastRepository:
    """What a repository holds for us."""

    project: str
    views: tuple[FeastView, ...]
    refusals: tuple[Refusal, ...]


class _RefusedError(Exception):
    """A view or feature that is left out; the text is the reason."""


def read_feast_repository(folder: Path) -> FeastRepository:
    """Reads a repository's definitions.

    Args:
        folder: holds feature_store.yaml; `feast apply` has been run there.
    Raises:
        NotFoundError: there is no such file, or no registry; says what makes one.
        InvalidArgumentError: feature_store.yaml is none, or its registry is no file.
        DataLossError: the registry is damaged.
    """
    settings = _settings(folder / STORE_FILE)
    registry = _registry(folder, settings)
    keys = {one.spec.name: one.spec.join_key for one in registry.entities}
    views: list[FeastView] = []
    computed = (*registry.on_demand_feature_views, *registry.stream_feature_views)
    refusals = [
        Refusal(f"view {one.spec.name}", "is computed by the repository's own code")
        for one in computed
    ]
    for one in registry.feature_views:
        try:
            views.append(_view(folder, one.spec, keys, refusals))
        except (_RefusedError, InvalidArgumentError) as error:
            refusals.append(Refusal(f"view {one.spec.name}", str(error)))
    return FeastRepository(str(settings["project"]), tuple(views), tuple(refusals))


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    if path.stat().st_size > MAX_STORE_FILE_BYTES:
        raise InvalidArgumentError(f"{path} is larger than {MAX_STORE_FILE_BYTES} B")
    try:
        settings = yaml.safe_load(path.read_text())
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidArgumentError(f"{path}: {error}") from error
    for field in ("project", "registry"):
        if not isinstance(settings, dict) or not settings.get(field):
            raise InvalidArgumentError(f"{path} must name a {field}", field)
    return dict(settings)


def _registry(folder: Path, settings: dict[str, Any]) -> feast.FeastRegistry:
    named = settings["registry"]
    if isinstance(named, dict):
        is_file = named.get("registry_type", "file") == "file"
        named = named.get("path") if is_file else None
    if not isinstance(named, str) or _REMOTE.match(named):
        raise InvalidArgumentError(
            f"registry is {settings['registry']!r}, must be a file on this machine",
            "registry",
        )
    path = folder / named
    if not path.is_file():
        raise NotFoundError(f"no registry {path}; run: feast apply")
    if path.stat().st_size > MAX_REGISTRY_BYTES:
        raise InvalidArgumentError(f"{path} is larger than {MAX_REGISTRY_BYTES} B")
    try:
        return feast.FeastRegistry.FromString(path.read_bytes())
    except DecodeError as error:
        raise DataLossError(f"{path} is no Feast registry: {error}") from error


def _view(
    folder: Path,
    spec: feast.FeastFeatureViewSpec,
    keys: dict[str, str],
    refusals: list[Refusal],
) -> FeastView:
    """Returns the view; features that are left out enter `refusals`."""
    entities = [name for name in spec.entities if name != _NO_ENTITY]
    if len(entities) != 1 or entities[0] not in keys:
        raise _RefusedError(f"has the entities {entities}, must have one")
    source = spec.batch_source
    uri = source.file_options.uri.removeprefix("file://")
    if source.type != _BATCH_FILE or not uri or _REMOTE.match(uri):
        raise _RefusedError("its rows are in no Parquet file on this machine")
    if not source.timestamp_field:
        raise _RefusedError("its source has no timestamp_field")
    names = {name: column for column, name in source.field_mapping.items()}
    columns = tuple(_columns(spec, names, refusals))
    if not columns:
        raise _RefusedError("none of its features could be taken over")
    entity = entities[0]
    view = FeatureView(
        name=spec.name,
        entity=Entity(entity, keys[entity]),
        source=Source.BATCH,
        features=tuple(column.feature for column in columns),
        ttl_seconds=spec.ttl.seconds or FOREVER_SECONDS,
        freshness_seconds=0,
        when_stale=WhenStale.DEFAULT,
        description=spec.description or f"{spec.name}, imported from Feast",
    )
    return FeastView(
        view=view,
        path=folder / uri,
        join_key=names.get(keys[entity], keys[entity]),
        event_column=names.get(source.timestamp_field, source.timestamp_field),
        created_column=source.created_timestamp_column,
        columns=columns,
    )


def _columns(
    spec: feast.FeastFeatureViewSpec, names: dict[str, str], refusals: list[Refusal]
) -> list[FeastColumn]:
    columns = []
    for one in spec.features:
        what = f"feature {spec.name}:{one.name}"
        if one.value_type not in _KINDS:
            reason = f"its type, number {one.value_type} of Feast's, has no form here"
            refusals.append(Refusal(what, reason))
            continue
        kind, dtype, low, high = _KINDS[one.value_type]
        meaning = one.description or f"{one.name}, imported from Feast"
        try:
            feature = Feature(one.name, dtype, 0, meaning, low, high)
        except InvalidArgumentError as error:
            refusals.append(Refusal(what, str(error)))
            continue
        columns.append(FeastColumn(feature, names.get(one.name, one.name), kind))
    return columns
