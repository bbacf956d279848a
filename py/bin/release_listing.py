"""What a registry holds, a line a release: for the commands that show or choose one."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepwell.base.errors import StepwellError
from stepwell.releases.aliases import Aliases
from stepwell.releases.manifest import Manifest, parse_manifest, release_id_of
from stepwell.releases.source import DirectorySource, RegistryState
from stepwell.releases.verification import read_manifest

_CARD = "model_card.json"
_MAX_CARD_BYTES = 1 << 20
_TIERS = ("full", "reduced", "popular")


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
        problem: why its manifest cannot be read, "" where it can.
    """

    release: str
    parts: tuple[str, ...]
    age_seconds: int = 0
    total_bytes: int = 0
    stored_bytes: int = 0
    base: str = ""
    ndcg: Mapping[str, float] | None = None
    cost_us: Mapping[str, int] | None = None
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
        card = _card(directory, manifest)
    except (StepwellError, OSError, ValueError) as error:
        return ListedRelease(name, parts, problem=str(error))
    return ListedRelease(
        name,
        parts,
        age_seconds=max(0, int(time.time()) - manifest.created_time_seconds),
        total_bytes=manifest.total_bytes,
        stored_bytes=manifest.stored_bytes,
        base="" if manifest.base is None else release_id_of(manifest.base.serial),
        ndcg=_figures(card, "quality", "ndcg_at_10"),
        cost_us=_figures(card, "cost_us", "mean"),
        veto=state.vetoed.get(serial, ""),
    )


def _card(directory: Path, manifest: Manifest) -> Mapping[str, Any]:
    """Returns the model card; that of the base where the delta left it as it was."""
    while not (directory / _CARD).exists() and manifest.base is not None:
        if any(file.path == f"{_CARD}.delta" for file in manifest.stored_files):
            return {}
        directory = directory.parent / release_id_of(manifest.base.serial)
        manifest = parse_manifest(read_manifest(directory))
    if not (directory / _CARD).exists():
        return {}
    with (directory / _CARD).open("rb") as file:
        card = json.loads(file.read(_MAX_CARD_BYTES))
    return card if isinstance(card, dict) else {}


def _figures(
    card: Mapping[str, Any], table: str, figure: str
) -> Mapping[str, Any] | None:
    tiers = card.get(table, {})
    found = {tier: tiers[tier].get(figure) for tier in _TIERS if tier in tiers}
    return found or None
