"""K7: a bit flipped anywhere in a release or the log is found, and never served."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError, StepwellError
from stepwell.index.ann_index import HnswIndex
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.manifest import MANIFEST_NAME, Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.retrieval.artifacts import INDEX_FILE
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog

NUM_OF_RELEASE, NUM_OF_INDEX, NUM_OF_LOG = 250, 100, 150
PAYLOAD_BYTES = 200
MAP_BYTES = 64 << 20
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)

# Each flip is read by a process of its own: one in the tree's pages may end it. The
# outcome of each is a line: the number of events and their digest, or what ended it.
_READ = """
import hashlib, json, os, sys
from pathlib import Path
from stepwell.base.errors import StepwellError
from stepwell.stores.lmdb_event_log import LmdbEventLog

folder, flips = Path(sys.argv[1]), json.loads(sys.argv[2])

def flip(position, bit):
    with open(folder / "data.mdb", "r+b") as file:
        byte = os.pread(file.fileno(), 1, position)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), position)

def read():
    digest, offset = hashlib.sha256(), 0
    try:
        log = LmdbEventLog(folder, map_size_bytes=64 << 20)
        while events := log.read(offset, 1_000):
            for event in events:
                digest.update(f"{event.offset} {event.event_id} ".encode())
                digest.update(event.payload)
            offset = events[-1].offset + 1
        return f"{offset} {digest.hexdigest()}"
    except StepwellError as error:
        return type(error).__name__

def in_child():
    receive, send = os.pipe()
    if not os.fork():
        os.write(send, read().encode())
        os._exit(0)
    os.close(send)
    _, status = os.wait()
    said = os.read(receive, 100).decode()
    os.close(receive)
    return said or f"ended by {os.waitstatus_to_exitcode(status)}"

print(in_child())
for position, bit in flips:
    flip(position, bit)
    print(in_child())
    flip(position, bit)
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published: an index and weights, as large as it takes for a flip to be small."""
    folder = tmp_path_factory.mktemp("flips")
    trained = folder / "trained"
    trained.mkdir()
    random_ = np.random.default_rng(7)
    vectors = random_.standard_normal((300, 16), np.float32)
    HnswIndex.build(vectors, np.arange(len(vectors))).save(trained / INDEX_FILE)
    for name in ("full_ranker", "reduced_ranker", "popular"):
        save_file({"weights": vectors}, trained / f"{name}.safetensors")
    (trained / "ranker_config.json").write_text(json.dumps({"format_version": 1}))
    return Publisher(folder / "registry", SigningKey.generate()).publish(
        trained, METADATA
    )


@contextmanager
def flipped(path: Path, position: int, bit: int) -> Iterator[None]:
    """One bit is wrong inside the block."""

    def flip() -> None:
        with path.open("r+b") as file:
            byte = os.pread(file.fileno(), 1, position)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), position)

    flip()
    try:
        yield
    finally:
        flip()


def never_built(directory: Path, manifest: Manifest) -> str:
    pytest.fail(f"{directory} was read with a bit of it wrong")


def flips(path: Path, random_: random.Random) -> tuple[int, int]:
    return random_.randrange(path.stat().st_size), random_.randrange(8)


def test_k7_a_bit_of_a_release_is_found_before_anything_of_it_is_read(
    release: Path,
) -> None:
    key = trusted_key(release.parent)
    loader = Loader(key, never_built)
    files = sorted(path for path in release.rglob("*") if path.is_file())
    random_ = random.Random(7)
    # File by file, for the largest one would have nearly all of them.
    for number in range(NUM_OF_RELEASE):
        path = files[number % len(files)]
        position, bit = flips(path, random_)
        with flipped(path, position, bit), pytest.raises(StepwellError) as found:
            loader.load(release)
        # What is wrong has a name: the file's, unless it is the page of names itself.
        assert path.name in str(found.value) or path.name == MANIFEST_NAME
    assert Loader(key, lambda _, manifest: manifest.serial).load(release).content == 1


def test_k7_a_bit_of_an_index_is_found_by_who_opens_it_too(release: Path) -> None:
    """A retrieval process opens the index alone, without the release's digests."""
    path = release / INDEX_FILE
    random_ = random.Random(8)
    for _ in range(NUM_OF_INDEX):
        position, bit = flips(path, random_)
        with flipped(path, position, bit), pytest.raises(StepwellError) as found:
            HnswIndex.open(path)
        assert path.name in str(found.value)


def test_k7_a_bit_of_the_log_changes_no_event_that_is_read(tmp_path: Path) -> None:
    payloads = filled_log(tmp_path / "log")
    path = tmp_path / "log" / "data.mdb"
    content = path.read_bytes()
    random_ = random.Random(9)
    # A page that was written anew has left its old bytes behind.
    once = [payload for payload in payloads if content.count(payload) == 1]
    in_events = [
        (content.index(payload) + random_.randrange(PAYLOAD_BYTES), number % 8)
        for number, payload in enumerate(random_.sample(once, NUM_OF_LOG // 2))
    ]
    anywhere = [flips(path, random_) for _ in range(NUM_OF_LOG - len(in_events))]
    whole, *outcomes = outcomes_of(tmp_path / "log", in_events + anywhere)
    assert whole.startswith(f"{len(payloads)} ")
    # An event's own bytes are under its checksum.
    of_events, of_pages = outcomes[: len(in_events)], outcomes[len(in_events) :]
    assert Counter(of_events) == {DataLossError.__name__: len(in_events)}
    # Elsewhere lie free pages, and pages of the tree: those may end a reader, but it
    # never goes on with events that are others, or fewer.
    goes_on = {said for said in of_pages if said[0].isdigit()}
    assert goes_on == {whole}


def filled_log(folder: Path) -> list[bytes]:
    random_ = random.Random(1)
    payloads = [random_.randbytes(PAYLOAD_BYTES) for _ in range(1_500)]
    log = LmdbEventLog(folder, map_size_bytes=MAP_BYTES)
    for begin in range(0, len(payloads), 50):
        batch = enumerate(payloads[begin : begin + 50], begin)
        log.append([EventRecord(f"event {n}", payload) for n, payload in batch])
    log.close()
    return payloads


def outcomes_of(folder: Path, flips: list[tuple[int, int]]) -> list[str]:
    """Returns what a reader said before anything was flipped, and at each flip."""
    result = subprocess.run(
        [sys.executable, "-c", _READ, str(folder), json.dumps(flips)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
        check=True,
        text=True,
    )
    return result.stdout.splitlines()
