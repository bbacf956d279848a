"""Where releases are found: a registry directory of vNNNNNN folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stepwell.releases.manifest import serial_of

TRUSTED_KEY_NAME = "trusted_key.pem"
"""The registry's public key, written by its first publish."""


@dataclass(frozen=True, slots=True)
class ReleaseVersion:
    """A release that exists; nothing is known of its content yet."""

    serial: int
    directory: Path


class Source(Protocol):
    """Says which releases exist. Concurrency: safe from any thread."""

    def versions(self) -> tuple[ReleaseVersion, ...]:
        """Returns the releases there are, oldest serial first."""
        ...


class DirectorySource:
    """A registry on a file system, local or shared.

    A release appears by one rename, so whatever has a release's name is complete.
    A missing registry has no releases yet. Cost: one directory listing.
    """

    def __init__(self, registry: Path) -> None:
        self._registry = registry

    def versions(self) -> tuple[ReleaseVersion, ...]:
        if not self._registry.is_dir():
            return ()
        found = []
        for entry in self._registry.iterdir():
            serial = serial_of(entry.name)
            if serial is not None and entry.is_dir() and not entry.is_symlink():
                found.append(ReleaseVersion(serial, entry))
        return tuple(sorted(found, key=lambda version: version.serial))


class ReleaseDirectory:
    """One release directory, whatever else its registry holds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def versions(self) -> tuple[ReleaseVersion, ...]:
        """Returns the one release while it is there."""
        serial = serial_of(self._directory.name)
        if serial is None or not self._directory.is_dir():
            return ()
        return (ReleaseVersion(serial, self._directory),)
