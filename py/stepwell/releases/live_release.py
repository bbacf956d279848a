"""Which release of a registry servers should serve, for who is no server."""

from pathlib import Path

from stepwell.releases.rollout_policy import RolloutSnapshot, wanted
from stepwell.releases.source import DirectorySource, ReleaseVersion


def live_release(registry: Path) -> ReleaseVersion | None:
    """Returns what a server that starts now would serve; None for an empty registry.

    Nothing is verified here but the aliases.
    """
    state = DirectorySource(registry).state()
    versions = {version.serial: version for version in state.versions}
    serial = wanted(RolloutSnapshot(list(versions), aliases=state.aliases)).live
    return None if serial is None else versions[serial]
