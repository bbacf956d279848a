"""A release is read by a child, whose verdict is this process's; then nobody reads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

import release_warmer
from release_child import ReleaseChild
from release_warmer import ReleaseWarmer
from stepwell.base.errors import (
    CancelledError,
    DataLossError,
    FailedPreconditionError,
    UnavailableError,
)
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    Manifest,
    ReleaseMetadata,
    parse_manifest,
)
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.verified_records import VerifiedRecords, identity_of

KEY = SigningKey.generate()
LAST = 19
"""The rank of what gives way wholly."""


def published(root: Path) -> Path:
    folder = root / "artifacts"
    folder.mkdir(exist_ok=True)
    (folder / "weights.safetensors").write_bytes(b"weights" * 1_000)
    digest = "ab" * 32
    metadata = ReleaseMetadata(
        data_watermark_seconds=0,
        embedding_space_hash=digest,
        feature_schema_hash=digest,
    )
    return Publisher(root / "registry", KEY).publish(folder, metadata)


def serving_warmer(root: Path) -> ReleaseWarmer:
    """Of a server that has a live release."""
    flags = [f"--delta_cache={root / 'deltas'}"]
    warmer = ReleaseWarmer(KEY.verifying_key(), flags, root / "cache")
    with warmer.turn():
        warmer.verify(published(root), KEY.verifying_key())
    assert not (root / "cache").exists()
    return warmer


@pytest.fixture
def warmer(tmp_path: Path) -> Iterator[ReleaseWarmer]:
    """Of a server that has a live release."""
    with closing(serving_warmer(tmp_path)) as warmer:
        yield warmer


def the_child() -> psutil.Process:
    """The only one that this process has."""
    (child,) = psutil.Process().children()
    return child


def read_next(warmer: ReleaseWarmer, root: Path) -> Manifest:
    """Has the warmer verify a release that was published just now."""
    with warmer.turn():
        return warmer.verify(published(root), KEY.verifying_key())


def test_a_child_reads_what_comes_while_the_server_answers(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    second = published(tmp_path)
    with warmer.turn():
        manifest = warmer.verify(second, KEY.verifying_key())
    assert manifest.serial == 2
    assert VerifiedRecords(tmp_path / "cache" / "verified").has(identity_of(second))
    # A byte that changes now is another release: the record is of no use.
    (second / "weights.safetensors").write_bytes(b"weightz" * 1_000)
    with warmer.turn(), pytest.raises(DataLossError, match="SHA-256"):
        warmer.verify(second, KEY.verifying_key())


def test_the_child_waits_for_the_next_release(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    child = the_child()
    for serial in (2, 3):
        assert read_next(warmer, tmp_path).serial == serial
        assert the_child() == child
    warmer.close()
    assert not child.is_running()


def test_another_child_takes_the_place_of_one_that_died(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    child, held = the_child(), psutil.Process().num_fds()
    child.kill()
    child.wait(10)
    assert read_next(warmer, tmp_path).serial == 2
    assert the_child() != child
    assert psutil.Process().num_fds() == held


def test_a_child_that_cannot_start_keeps_no_release_out(tmp_path: Path) -> None:
    warmer = ReleaseWarmer(KEY.verifying_key(), ["--no_such_flag"], tmp_path / "cache")
    with closing(warmer):
        assert read_next(warmer, tmp_path).serial == 1
        with pytest.raises(UnavailableError, match="ended with 1"):
            read_next(warmer, tmp_path)


def test_who_finds_no_idle_processor_takes_a_share(
    tmp_path: Path, warmer: ReleaseWarmer, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = the_child()
    monkeypatch.setattr(release_warmer, "_IDLE_SECONDS", 0.0)
    assert read_next(warmer, tmp_path).serial == 2
    # One waits again, and the one that took a share is gone.
    assert the_child() != child
    assert os.getpriority(os.PRIO_PROCESS, the_child().pid) == LAST


def test_what_another_server_read_just_now_is_not_read_again(
    tmp_path: Path, warmer: ReleaseWarmer, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = published(tmp_path)
    VerifiedRecords(tmp_path / "cache" / "verified").add(identity_of(second))
    monkeypatch.setattr(ReleaseChild, "read", lambda *_: pytest.fail("no need"))
    with warmer.turn():
        assert warmer.verify(second, KEY.verifying_key()).serial == 2


def test_a_folder_that_cannot_be_made_keeps_no_release_out(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    (tmp_path / "cache").write_text("in the way")
    second = published(tmp_path)
    with warmer.turn():
        assert warmer.verify(second, KEY.verifying_key()).serial == 2


def test_a_record_does_not_stand_in_for_the_signature(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    second = published(tmp_path)
    VerifiedRecords(tmp_path / "cache" / "verified").add(identity_of(second))
    with warmer.turn(), pytest.raises(DataLossError, match="signature"):
        warmer.verify(second, SigningKey.generate().verifying_key())


def test_a_record_does_not_stand_in_for_this_versions_features(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    second = published(tmp_path)
    page = second / MANIFEST_NAME
    changes = {"feature_service_hash": "cd" * 32}
    unsigned = parse_manifest(page.read_bytes()).model_copy(update=changes)
    signature = KEY.sign(unsigned.signed_bytes()).hex()
    page.write_bytes(unsigned.model_copy(update={"signature": signature}).to_json())
    VerifiedRecords(tmp_path / "cache" / "verified").add(identity_of(second))
    with warmer.turn(), pytest.raises(FailedPreconditionError, match="cdcdcdcd"):
        warmer.verify(second, KEY.verifying_key())


def test_a_server_that_ends_waits_for_no_child(
    tmp_path: Path, warmer: ReleaseWarmer
) -> None:
    second = published(tmp_path)
    warmer.close()
    with warmer.turn(), pytest.raises(CancelledError):
        warmer.verify(second, KEY.verifying_key())


SERVER_THAT_DIES = """
import sys, threading, time
from pathlib import Path
import psutil
import release_child
import release_warmer_test

release_child._REST_SECONDS = 60.0
root = Path(sys.argv[1])
warmer = release_warmer_test.serving_warmer(root)
second = release_warmer_test.published(root)
key = release_warmer_test.KEY.verifying_key()
with warmer.turn():
    threading.Thread(target=warmer.verify, args=(second, key), daemon=True).start()
    # The child runs only when nothing else does: no busy waiting here.
    while True:
        time.sleep(0.01)
        for child in psutil.Process().children():
            if child.status() == psutil.STATUS_STOPPED:
                print("stopped", child.pid, flush=True)
                time.sleep(60)
"""


def test_a_child_at_rest_ends_with_its_server(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER_THAT_DIES, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    with server:
        assert server.stdout is not None
        words = next(line for line in server.stdout if line.startswith(b"stopped"))
        child = psutil.Process(int(words.split()[1]))
        server.kill()
    gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone == [child]
