"""A publish killed at any step: a reader sees whole releases, the next one succeeds.

strace kills the publisher on entering the N-th call of each kind that changes the
registry, for every N there is.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import verify_release

METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)
_MAX_CALLS = 40
# Steps of each kind that a publish has at least; fewer means that one went missing.
_EXPECTED_DEATHS = {"rename": 2, "mkdir": 2, "fsync": 6, "unlinkat": 4, "rmdir": 1}
_PUBLISH = """
import sys
from pathlib import Path
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey

root = Path(sys.argv[1])
key = SigningKey.load_or_create(root / "signing.key")
trained = root / "trained"
metadata = ReleaseMetadata.load(trained)
Publisher(root / "registry", key, kept=2).publish(trained, metadata)
"""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases in a registry that keeps two, and a third one trained."""
    root = tmp_path_factory.mktemp("template")
    trained = root / "trained"
    (trained / "tables").mkdir(parents=True)
    (trained / "index.hnsw").write_bytes(b"graph" * 99)
    (trained / "tables" / "items").write_bytes(bytes(999))
    METADATA.save(trained)
    publisher = publisher_of(root)
    for _ in range(2):
        publisher.publish(trained, METADATA)
    return root


def publisher_of(root: Path) -> Publisher:
    key = SigningKey.load_or_create(root / "signing.key")
    return Publisher(root / "registry", key, kept=2)


def publish_under(root: Path, injection: str) -> int:
    """Runs a publish with an injected fault; returns its exit status."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    call = injection.split(":")[0]
    command = [
        *("strace", "-f", "-qq", "-o", "/dev/null"),
        *("-e", f"trace={call}", "-e", f"inject={injection}"),
        *(sys.executable, "-c", _PUBLISH, str(root)),
    ]
    return subprocess.run(
        command, env=environment, stderr=subprocess.DEVNULL, timeout=120, check=False
    ).returncode


def assert_whole(root: Path) -> list[int]:
    registry = root / "registry"
    versions = DirectorySource(registry).versions()
    for version in versions:
        verify_release(version.directory, trusted_key(registry))
    return [version.serial for version in versions]


@pytest.mark.parametrize("call", _EXPECTED_DEATHS)
def test_a_reader_sees_whole_releases_wherever_the_publish_dies(
    template: Path, tmp_path: Path, call: str
) -> None:
    deaths = 0
    for number in range(1, _MAX_CALLS):
        root = tmp_path / f"{number}"
        shutil.copytree(template, root)
        status = publish_under(root, f"{call}:signal=KILL:when={number}")
        serials = assert_whole(root)
        assert serials in ([1, 2], [1, 2, 3], [2, 3])
        if status == 0:
            assert serials == [2, 3]
            break
        assert status in (-signal.SIGKILL, 128 + signal.SIGKILL)
        deaths += 1
        publisher_of(root).publish(root / "trained", METADATA)
        assert assert_whole(root)[-1] == serials[-1] + 1
        assert not list((root / "registry").glob("*.tmp"))
        shutil.rmtree(root)
    assert deaths >= _EXPECTED_DEATHS[call]


@pytest.mark.parametrize("injection", ["fsync:error=EIO:when=2", "fsync:error=EIO"])
def test_a_publish_whose_sync_fails_publishes_nothing(
    template: Path, tmp_path: Path, injection: str
) -> None:
    root = tmp_path / "root"
    shutil.copytree(template, root)
    assert publish_under(root, injection) == 1
    assert assert_whole(root) == [1, 2]
