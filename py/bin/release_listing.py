"""What a registry holds, a line a release: for the commands that show or choose one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from stepwell.base.errors import DataLossError, StepwellError
from stepwell.releases.aliases import Aliases
from stepwell.releases.delta import MAX_CHAIN
from stepwell.releases.manifest import (
    PATCH_SUFFIX,
    Manifest,
    first_problem,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.reduced_check import MODEL_CARD_NAME
from stepwell.releases.source import DirectorySource, RegistryState
from stepwell.releases.verification import read_manifest

_MAX_CARD_BYTES = 1 << 20
_TIERS = ("full", "reduced", "popular")
_Figures = Mapping[str, int | float | None]


class _Tier(BaseModel):
    """What is listed of a tier; a card says more."""

    ndcg_at_10: int | float | None = None
    mean: int | float | None = None


class _Card(BaseModel):
    """What is listed of a model card."""

    quality: dict[str, _Tier] = {}
    cost_us: dict[str, _Tier] = {}


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """One release, by its own words: nothing is verified here.

    Attributes:
        parts: of live, previous, canary, shadow and pinned, those that it has.
        age_seconds: since it was published.
        total_bytes: complete. stored_bytes: in the registry.
        base: of a delta, else "".
        ndcg, cost_us: by tier, as its model card has them.
        veto: why a server took it down, "" where none did.
        problem: why its manifest or its model card cannot be read, "" where they can.
    """

    release: str
    parts: tuple[str, ...]
    age_seconds: int = 0
    total_bytes: int = 0
    stored_bytes: int = 0
    base: str = ""
    ndcg: _Figures | None = None
    cost_us: _Figures | None = None
    veto: str = ""
    problem: str = ""


def listed_releases(registry: Path) -> tuple[Aliases | None, list[ListedRelease]]:
    """Returns the aliases and the releases, newest first."""
    state = DirectorySource(registry).state()
    found = [
        _listed(version.directory, version.serial, state) for version in state.versions
    ]
    return state.aliases, found[::-1]


def parts_of(serial: int, aliases: Aliases | None) -> tuple[str, ...]:
    """Returns the names of the parts that a release has."""
    if aliases is None:
        return ()
    serials = {
        "live": aliases.live,
        "previous": aliases.previous,
        "pinned": aliases.pinned,
    }
    if aliases.canary is not None:
        name = "shadow" if aliases.canary.is_shadow else "canary"
        serials[name] = aliases.canary.serial
    return tuple(name for name, other in serials.items() if other == serial)


def _listed(directory: Path, serial: int, state: RegistryState) -> ListedRelease:
    name, parts = release_id_of(serial), parts_of(serial, state.aliases)
    try:
        manifest = parse_manifest(read_manifest(directory))
    except (StepwellError, OSError) as error:
        return ListedRelease(name, parts, problem=str(error))
    card, problem = _Card(), ""
    try:
        card = _card(directory, manifest)
    except (StepwellError, OSError) as error:
        problem = str(error)
    return ListedRelease(
        name,
        parts,
        age_seconds=max(0, int(time.time()) - manifest.created_time_seconds),
        total_bytes=manifest.total_bytes,
        stored_bytes=manifest.stored_bytes,
        base="" if manifest.base is None else release_id_of(manifest.base.serial),
        ndcg=_by_tier({name: tier.ndcg_at_10 for name, tier in card.quality.items()}),
        cost_us=_by_tier({name: tier.mean for name, tier in card.cost_us.items()}),
        veto=state.vetoed.get(serial, ""),
        problem=problem,
    )


def _card(directory: Path, manifest: Manifest) -> _Card:
    """Returns the model card; that of the base where the delta left it as it was."""
    # What is beside a release says of itself which base it has: a bound.
    for _ in range(MAX_CHAIN):
        if (directory / MODEL_CARD_NAME).is_file() or manifest.base is None:
            break
        patch = MODEL_CARD_NAME + PATCH_SUFFIX
        if any(file.path == patch for file in manifest.stored_files):
            return _Card()
        directory = directory.parent / release_id_of(manifest.base.serial)
        manifest = parse_manifest(read_manifest(directory))
    path = directory / MODEL_CARD_NAME
    if not path.is_file():
        return _Card()
    with path.open("rb") as file:
        content = file.read(_MAX_CARD_BYTES)
    try:
        return _Card.model_validate_json(content)
    except ValidationError as error:
        raise DataLossError(f"{path}: {first_problem(error)}") from error


def _by_tier(figures: _Figures) -> _Figures | None:
    return {tier: figures[tier] for tier in _TIERS if tier in figures} or None
