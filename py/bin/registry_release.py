"""A registry's release as commands read it: verified, and complete."""

from pathlib import Path

from stepwell.base.errors import NotFoundError
from stepwell.releases.archive import completed
from stepwell.releases.delta import default_cache
from stepwell.releases.live_release import live_release
from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import Manifest


def live_serial(registry: Path) -> int:
    """Returns the serial of what servers serve by the registry's aliases.

    Raises:
        NotFoundError: the registry has no release.
    """
    live = live_release(registry)
    if live is None:
        raise NotFoundError(f"no release in {registry}; run: ./stepwell publish")
    return live.serial


def complete_release(
    registry: Path, serial: int, cache: Path | None = None
) -> tuple[Path, Manifest]:
    """Returns the folder of all files of a release, every digest of it checked.

    Args:
        cache: where deltas are made complete; default: the user's own for the registry.
    Raises:
        NotFoundError: the registry has no such release.
        StepwellError: it does not verify, or its base is not there.
    """
    folder = cache or default_cache(registry)
    return completed(registry, serial, trusted_key(registry), folder)
