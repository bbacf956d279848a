"""Changes of a registry that die at a chosen system call, and what a reader then sees.

The registry keeps two releases and has them: 1, 2 and live 2. A third one is trained.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
from stepwell.releases.rollout_policy import RolloutSnapshot, wanted
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import verify_release

MAX_CALLS = 60
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)
PUBLISH, ROLL_BACK = "publish", "rollback"
_CHANGE = """
import sys
from pathlib import Path
from faults.killed_change import change

change(Path(sys.argv[1]), sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server that looks now finds.

    Attributes:
        serials: of the releases there are; each one is whole.
        live: the one it would serve.
    """

    serials: tuple[int, ...]
    live: int | None


BEFORE = Seen((1, 2), live=2)
AFTER = {PUBLISH: Seen((2, 3), live=3), ROLL_BACK: Seen((1, 2), live=1)}
BETWEEN = {
    # The release is there, then it is live, then the oldest goes.
    PUBLISH: {Seen((1, 2, 3), live=2), Seen((1, 2, 3), live=3)},
    ROLL_BACK: set[Seen](),
}


def make_project(root: Path) -> None:
    """Two releases in a registry that keeps two, and a third one trained."""
    trained = root / "trained"
    (trained / "tables").mkdir(parents=True)
    (trained / "index.hnsw").write_bytes(b"graph" * 99)
    (trained / "tables" / "items").write_bytes(bytes(999))
    for _ in range(2):
        change(root, PUBLISH)


def change(root: Path, name: str) -> None:
    """Changes the registry: publishes what is trained, or goes one release back."""
    key, registry = SigningKey.load_or_create(root / "signing.key"), root / "registry"
    if name == PUBLISH:
        Publisher(registry, key, kept=2).publish(root / "trained", METADATA)
    else:
        Rollout(registry, key).rollback(None)


def change_under(root: Path, name: str, injection: str) -> int:
    """Makes a change in a process with an injected fault; returns its exit status."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    call = injection.split(":")[0]
    command = [
        *("strace", "-f", "-qq", "-o", "/dev/null"),
        *("-e", f"trace={call}", "-e", f"inject={injection}"),
        *(sys.executable, "-c", _CHANGE, str(root), name),
    ]
    return subprocess.run(
        command, env=environment, stderr=subprocess.DEVNULL, timeout=120, check=False
    ).returncode


def seen(root: Path) -> Seen:
    """Looks as a server does that has just started.

    Raises:
        StepwellError: a release is not whole, or the page of aliases is damaged.
    """
    registry = root / "registry"
    state = DirectorySource(registry).state()
    for version in state.versions:
        verify_release(version.directory, trusted_key(registry))
    serials = tuple(version.serial for version in state.versions)
    chosen = wanted(RolloutSnapshot(serials, aliases=state.aliases))
    assert state.aliases is not None
    assert state.aliases.named() <= {*serials}
    return Seen(serials, chosen.live)
