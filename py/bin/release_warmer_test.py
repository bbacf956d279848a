"""A release is read by a child, whose verdict is this process's; then nobody reads."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from release_warmer import ReleaseWarmer
from stepwell.base.errors import CancelledError, DataLossError, FailedPreconditionError
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    ReleaseMetadata,
    parse_manifest,
)
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.verified_records import VerifiedRecords, identity_of

KEY = SigningKey.generate()


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


def test_a_child_reads_what_comes_while_the_server_answers(tmp_path: Path) -> None:
    warmer = serving_warmer(tmp_path)
    second = published(tmp_path)
    with warmer.turn():
        manifest = warmer.verify(second, KEY.verifying_key())
    assert manifest.serial == 2
    assert VerifiedRecords(tmp_path / "cache" / "verified").has(identity_of(second))
    # A byte that changes now is another release: the record is of no use.
    (second / "weights.safetensors").write_bytes(b"weightz" * 1_000)
    with warmer.turn(), pytest.raises(DataLossError, match="SHA-256"):
        warmer.verify(second, KEY.verifying_key())


def test_what_another_server_read_just_now_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmer = serving_warmer(tmp_path)
    second = published(tmp_path)
    VerifiedRecords(tmp_path / "cache" / "verified").add(identity_of(second))
    monkeypatch.setattr(warmer, "_run", lambda *_: pytest.fail("no need"))
    with warmer.turn():
        assert warmer.verify(second, KEY.verifying_key()).serial == 2


def test_a_folder_that_cannot_be_made_keeps_no_release_out(tmp_path: Path) -> None:
    warmer = serving_warmer(tmp_path)
    (tmp_path / "cache").write_text("in the way")
    second = published(tmp_path)
    with warmer.turn():
        assert warmer.verify(second, KEY.verifying_key()).serial == 2


def test_a_record_does_not_stand_in_for_the_signature(tmp_path: Path) -> None:
    warmer = serving_warmer(tmp_path)
    second = published(tmp_path)
    VerifiedRecords(tmp_path / "cache" / "verified").add(identity_of(second))
    with warmer.turn(), pytest.raises(DataLossError, match="signature"):
        warmer.verify(second, SigningKey.generate().verifying_key())


def test_a_record_does_not_stand_in_for_this_versions_features(tmp_path: Path) -> None:
    warmer = serving_warmer(tmp_path)
    second = published(tmp_path)
    page = second / MANIFEST_NAME
    changes = {"feature_service_hash": "cd" * 32}
    unsigned = parse_manifest(page.read_bytes()).model_copy(update=changes)
    signature = KEY.sign(unsigned.signed_bytes()).hex()
    page.write_bytes(unsigned.model_copy(update={"signature": signature}).to_json())
    VerifiedRecords(tmp_path / "cache" / "verified").add(identity_of(second))
    with warmer.turn(), pytest.raises(FailedPreconditionError, match="cdcdcdcd"):
        warmer.verify(second, KEY.verifying_key())


def test_a_server_that_ends_waits_for_no_child(tmp_path: Path) -> None:
    warmer = serving_warmer(tmp_path)
    second = published(tmp_path)
    warmer.close()
    with warmer.turn(), pytest.raises(CancelledError):
        warmer.verify(second, KEY.verifying_key())


SERVER_THAT_DIES = """
import sys, threading, time
from pathlib import Path
import psutil
import release_warmer
import release_warmer_test

release_warmer._REST_SECONDS = 60.0
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
