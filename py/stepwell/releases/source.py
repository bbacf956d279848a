"""Where releases are found: a registry directory of vNNNNNN folders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import structlog

from stepwell.base.errors import StepwellError
from stepwell.releases.aliases import Aliases, AliasFile
from stepwell.releases.manifest import serial_of
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.vetoes import Vetoes

TRUSTED_KEY_NAME = "trusted_key.pem"
"""The registry's public key, written by its first publish."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReleaseVersion:
    """A release that exists; nothing is known of its content yet."""

    serial: int
    directory: Path


@dataclass(frozen=True, slots=True)
class RegistryState:
    """A registry at one look.

    Attributes:
        versions: the releases there are, oldest serial first.
        aliases: the page, verified; None in a registry that has none.
        vetoed: why a release is no canary any more, by serial.
    """

    versions: tuple[ReleaseVersion, ...]
    aliases: Aliases | None = None
    vetoed: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))


class Source(Protocol):
    """Says which releases exist, and what for.

    Concurrency: `versions` from any thread, `state` from one at a time.
    """

    def versions(self) -> tuple[ReleaseVersion, ...]:
        """Returns the releases there are, oldest serial first."""
        ...

    def state(self) -> RegistryState:
        """Returns the releases with their parts.

        Raises:
            StepwellError, OSError: what they are cannot be told now.
        """
        ...


class DirectorySource:
    """A registry on a file system, local or shared.

    A release appears by one rename, so whatever has a release's name is complete.
    A missing registry has no releases yet. Cost: one directory listing; of `state`, the
    reads of a page and of the vetoes too, well below 1 ms together.

    Args:
        registry: its folder.
        key: whose page is trusted; None trusts the registry's own.
    """

    def __init__(self, registry: Path, key: VerifyingKey | None = None) -> None:
        self._registry = registry
        self._file = None if key is None else AliasFile(registry, key)
        self._aliases: Aliases | None = None
        self._problem = ""

    def versions(self) -> tuple[ReleaseVersion, ...]:
        if not self._registry.is_dir():
            return ()
        found = []
        for entry in self._registry.iterdir():
            serial = serial_of(entry.name)
            if serial is not None and entry.is_dir() and not entry.is_symlink():
                found.append(ReleaseVersion(serial, entry))
        return tuple(sorted(found, key=lambda version: version.serial))

    def state(self) -> RegistryState:
        """Returns the releases with their parts.

        A page that is damaged, unsigned or put back is said in the log, once, and the
        last good one stays in force.

        Raises:
            StepwellError, OSError: none was good yet. Nobody may take a page that
                cannot be read for no page, and the newest release for the live one.
        """
        # The page before the listing: what a page names was there when it was written.
        aliases = self._read_aliases()
        vetoes = Vetoes(self._registry).read()
        vetoed = {serial: veto.reason for serial, veto in vetoes.items()}
        return RegistryState(self.versions(), aliases, MappingProxyType(vetoed))

    def _read_aliases(self) -> Aliases | None:
        try:
            if self._file is None:
                key_file = self._registry / TRUSTED_KEY_NAME
                if not key_file.exists():
                    return None
                self._file = AliasFile(self._registry, VerifyingKey.load(key_file))
            self._aliases = self._file.read() or self._aliases
        except (StepwellError, OSError) as error:
            self._say_once(str(error))
            if self._aliases is None:
                raise
        else:
            self._problem = ""
        return self._aliases

    def _say_once(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("the aliases cannot be used", reason=problem)
        self._problem = problem


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

    def state(self) -> RegistryState:
        """Returns the one release; it needs no part to be live."""
        return RegistryState(self.versions())
