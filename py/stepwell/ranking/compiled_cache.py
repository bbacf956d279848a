"""Full rankers in the form that serves them, kept on this machine for the next start.

Packing a ranker takes a product for every item. What comes of it depends on the
release's files, on the code that packs and on the processor alone, so it is kept under
a key of all three. It is made here, of a verified release, and never taken from one.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from stepwell.base.native import native_library
from stepwell.base.pace import AT_ONCE, Pace
from stepwell.base.user_cache import is_ours_alone
from stepwell.models.precision import Precision
from stepwell.models.processor import processor_flags
from stepwell.models.ranker_config import CLIP
from stepwell.ops.fused_ranker import PackedRanker
from stepwell.ops.huge_pages import huge_page_array

_log = structlog.get_logger(__name__)
MAX_ENTRIES = 12
MAX_BYTES = 4 << 30
_STAGED_SECONDS = 3_600
"""Older than this, a ranker that is not whole yet has no writer any more."""
_STEP_BYTES = 1 << 18
_ABOUT = "about.json"
_PARTS = ("weights", "plan", "items")
_PACKERS = (
    "features/item_columns.py",
    "models/ranker_config.py",
    "models/ranker_packing.py",
    "models/ranker_tensors.py",
    "models/ranker_weights.py",
    "ops/bfloat16.py",
    "ops/item_records.py",
    "ops/ranker_plan.py",
    "ranking/pack_ranker.py",
)
"""The code whose change makes other bytes of the same release."""


@dataclass(frozen=True, slots=True)
class CompiledCache:
    """Packed rankers in a folder of this user's, a few of the newest.

    Every byte is checked against a digest when it is read: what is damaged is packed
    again. A folder that cannot be written costs the next start some time, and no more.

    Attributes:
        folder: made when missing, readable by its owner only.

    Concurrency: several threads and processes; an entry appears whole.
    """

    folder: Path

    def load(self, key: str, pace: Pace = AT_ONCE) -> PackedRanker | None:
        """Returns the ranker of a key, None where there is none that is whole.

        Cost: one read and one hash of it, outside the GIL, in steps of 1 ms.
        """
        if not is_ours_alone(self.folder):
            return None
        entry = self.folder / key
        try:
            about = json.loads((entry / _ABOUT).read_bytes())
            parts = {name: _read(entry / name, about[name], pace) for name in _PARTS}
            packed = PackedRanker(
                parts["weights"],
                parts["plan"].view(np.int64),
                parts["items"],
                CLIP,
            )
            os.utime(entry)
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError) as error:
            _log.warning("a compiled ranker is made anew", reason=str(error))
            shutil.rmtree(entry, ignore_errors=True)
            return None
        return packed

    def store(self, key: str, packed: PackedRanker) -> None:
        """Keeps a ranker; without room or permission a line in the log says so."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made by mkdtemp: another user's link or folder is never written into.
            staged = Path(tempfile.mkdtemp(prefix=".", dir=self.folder))
            try:
                self._forget_abandoned(staged)
                _write(staged, packed)
                if not (self.folder / key).exists():
                    staged.rename(self.folder / key)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            self._forget_oldest()
        except OSError as error:
            if (self.folder / key / _ABOUT).exists():
                # Another process packed the same and was first.
                return
            _log.warning("the compiled ranker is not kept", reason=str(error))

    def _forget_abandoned(self, staged: Path) -> None:
        """Makes room of what others staged, who were killed before it was whole."""
        oldest = staged.stat().st_mtime - _STAGED_SECONDS
        for path in self.folder.glob(".*"):
            try:
                is_abandoned = path.stat().st_mtime < oldest
            except FileNotFoundError:
                continue  # it is whole by now
            if is_abandoned:
                shutil.rmtree(path, ignore_errors=True)

    def _forget_oldest(self) -> None:
        """Keeps the newest entry, and as many others as the bounds allow."""
        entries = [path for path in self.folder.iterdir() if (path / _ABOUT).exists()]
        entries.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        num_bytes = 0
        for place, path in enumerate(entries):
            num_bytes += sum(part.stat().st_size for part in path.iterdir())
            if place and (place >= MAX_ENTRIES or num_bytes > MAX_BYTES):
                shutil.rmtree(path, ignore_errors=True)


def compiled_key(digests: Mapping[str, str], precision: Precision) -> str:
    """Returns what names the packed ranker of a release's files on this machine.

    Args:
        digests: sha256 by path of the files that packing reads.
        precision: of the products.
    """
    inputs = {
        "files": dict(digests),
        "precision": precision,
        "code": _code_digest(),
        "numpy": np.__version__,
        "processor": _processor(),
    }
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code_digest() -> str:
    root = Path(__file__).parents[1]
    library = native_library("cc/pybind/_candidates.so").stat()
    digest = hashlib.sha256(f"{library.st_size} {library.st_mtime_ns}".encode())
    for path in _PACKERS:
        # A test's sandbox has the rooms that it needs, and no others.
        if (root / path).exists():
            digest.update(path.encode() + (root / path).read_bytes())
    return digest.hexdigest()


@cache
def _processor() -> str:
    """What the processor can do: the form that is fastest here may not run there."""
    return hashlib.sha256(" ".join(sorted(processor_flags())).encode()).hexdigest()


def _write(folder: Path, packed: PackedRanker) -> None:
    about: dict[str, object] = {}
    for name in _PARTS:
        values: npt.NDArray[np.generic] = getattr(packed, name)
        content = values.tobytes()
        (folder / name).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        about[name] = {"num_bytes": len(content), "sha256": sha256}
    (folder / _ABOUT).write_text(json.dumps(about))


def _read(path: Path, about: Mapping[str, object], pace: Pace) -> npt.NDArray[np.uint8]:
    size = path.stat().st_size
    if size != about["num_bytes"]:
        raise ValueError(f"{path} has {size} bytes, must be {about['num_bytes']}")
    content = huge_page_array(size)
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for start in range(0, size, _STEP_BYTES):
            step = content.data[start : start + _STEP_BYTES]
            file.readinto(step)
            digest.update(step)
            pace.step()
    if digest.hexdigest() != about["sha256"]:
        raise ValueError(f"{path} is damaged")
    return content
