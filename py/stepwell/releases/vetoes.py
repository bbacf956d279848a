"""Vetoes: a server found its canary bad, and says so to every other one.

A veto is not signed, for servers have no signing key. It needs none: all that it can do
is to take a canary down, never to make a release live.
"""

from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, ValidationError

from stepwell.base.errors import DataLossError
from stepwell.releases.aliases import Seconds, Serial
from stepwell.releases.durable_files import make_folder, sync_folder, write_durably
from stepwell.releases.manifest import (
    StrictModel,
    canonical_json,
    release_id_of,
    serial_of,
)
from stepwell.releases.regular_file import open_regular

VETOES_FOLDER = "vetoes"
_SUFFIX = ".json"
_MAX_BYTES = 4 << 10
_MAX_FILES = 1_000


class Veto(StrictModel):
    """Why a release is no canary any more.

    Attributes:
        reason: a word, as metrics have it.
        evidence: the figures, one line.
        time_seconds: unix seconds.
    """

    serial: Serial
    reason: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    evidence: Annotated[str, StringConstraints(max_length=512)] = ""
    time_seconds: Seconds


class Vetoes:
    """The vetoes of one registry. Concurrency: safe from any thread and process."""

    def __init__(self, registry: Path) -> None:
        self._folder = registry / VETOES_FOLDER

    def read(self) -> dict[int, Veto]:
        """Returns the vetoes by serial.

        One that cannot be understood counts too: somebody wanted that canary down.
        Cost: a listing, and a read of each.
        """
        if not self._folder.is_dir():
            return {}
        serials = {path: serial_of(path.stem) for path in self._folder.glob("v*.json")}
        known = sorted((s, path) for path, s in serials.items() if s is not None)
        # The newest ones: a bound, and old releases are on trial no more.
        return {serial: _read(path, serial) for serial, path in known[-_MAX_FILES:]}

    def write(self, veto: Veto) -> None:
        """Adds a veto, durable when this returns; of two the first one stays.

        Raises:
            OSError: the registry is not writable from here.
        """
        path = self._path(veto.serial)
        make_folder(self._folder)
        if not path.exists():
            write_durably(path, canonical_json(veto.model_dump()))

    def remove(self, serial: int) -> bool:
        """Takes a veto back; False where there was none."""
        path = self._path(serial)
        if not path.exists():
            return False
        path.unlink(missing_ok=True)
        sync_folder(self._folder)
        return True

    def _path(self, serial: int) -> Path:
        return self._folder / f"{release_id_of(serial)}{_SUFFIX}"


def _read(path: Path, serial: int) -> Veto:
    try:
        with open_regular(path) as file:
            veto = Veto.model_validate_json(file.read(_MAX_BYTES))
    except (OSError, DataLossError, ValidationError):
        veto = None
    if veto is None or veto.serial != serial:
        return Veto(serial=serial, reason="unreadable veto", time_seconds=0)
    return veto
