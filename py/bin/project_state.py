"""Where the commands keep what they make: one folder a data set, one running server.

.stepwell/
    server.json               addresses, pid and data set of the server
    <data>/dataset/           the data set as Parquet, the importer's form
    <data>/training/          checkpoints and trained releases not yet published
    <data>/registry/          published releases, vNNNNNN
    <data>/signing.key        private key of the registry, mode 0600
    <data>/online.lmdb        online features
    <data>/events.lmdb        the event log
    <data>/server.log         what the last servers said; .1 is what came before
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

DATA_SETS = ("complete-journey", "movielens-100k", "generated")
DEFAULT_DATA_SET = DATA_SETS[0]
STATE_FOLDER = ".stepwell"


@dataclass(frozen=True, slots=True)
class ProjectState:
    """The folders of one data set below `root`/.stepwell; nothing is created here."""

    root: Path
    data: str

    @property
    def folder(self) -> Path:
        """Everything of this data set."""
        return self.root / STATE_FOLDER / self.data

    @property
    def dataset(self) -> Path:
        """Parquet files in the importer's form."""
        return self.folder / "dataset"

    @property
    def training(self) -> Path:
        """Checkpoints and releases before they are published."""
        return self.folder / "training"

    @property
    def registry(self) -> Path:
        """Published releases."""
        return self.folder / "registry"

    @property
    def signing_key(self) -> Path:
        """The registry's private key."""
        return self.folder / "signing.key"

    @property
    def online_store(self) -> Path:
        """LMDB environment of the online features."""
        return self.folder / "online.lmdb"

    @property
    def event_log(self) -> Path:
        """LMDB environment of the event log."""
        return self.folder / "events.lmdb"

    @property
    def server_log(self) -> Path:
        """Standard error of the last servers; grows to a bound."""
        return self.folder / "server.log"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A ranker that serves on this machine, as server.json names it."""

    address: str
    metrics_address: str
    pid: int
    data: str
    admin_address: str = ""

    def alive(self) -> bool:
        """True while the process exists."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def project_root() -> Path:
    """Returns the project's root: where ./stepwell was called, by its variable.

    The launcher sets STEPWELL_ROOT; without it the working folder is the root.
    """
    return Path(os.environ.get("STEPWELL_ROOT", Path.cwd()))


def announce_server(root: Path, server: RunningServer) -> None:
    """Writes server.json, so that the other commands find the server."""
    path = root / STATE_FOLDER / "server.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(server)) + "\n")
    temporary.rename(path)


def running_server(root: Path) -> RunningServer | None:
    """Returns the server that server.json names while it lives, else None."""
    path = root / STATE_FOLDER / "server.json"
    try:
        server = RunningServer(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    return server if server.alive() else None


def withdraw_server(root: Path, pid: int) -> None:
    """Removes server.json when it names the process `pid`, else leaves it alone."""
    path = root / STATE_FOLDER / "server.json"
    try:
        named = json.loads(path.read_text())["pid"]
    except FileNotFoundError:
        return
    if named == pid:
        path.unlink(missing_ok=True)
