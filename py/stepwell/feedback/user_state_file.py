"""The file in which training hands over user state: ids, and rows by view."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.schema.feature_errors import SchemaMismatchError
from stepwell.schema.feature_registry import REGISTRY
from stepwell.schema.feature_row import FeatureRow, row_header

USER_STATE_NAME = "user_state.safetensors"
_LOG_OFFSET = "event_log_offset"
_IDS = "ids"
_ROWS = "rows."

ByteArray = npt.NDArray[np.uint8]
OffsetArray = npt.NDArray[np.int64]


def write_user_state(
    path: Path,
    users: Iterable[tuple[str, Sequence[FeatureRow]]],
    event_log_offset: int = 0,
) -> int:
    """Writes the rows of users; returns how many users.

    Args:
        users: (user id, the rows of different views), each user once.
        event_log_offset: events of the log before this offset are in the rows; 0 when
            training read no log.
    """
    ids: list[bytes] = []
    blobs: dict[str, dict[int, bytes]] = {}
    for place, (user_id, rows) in enumerate(users):
        ids.append(user_id.encode())
        for row in rows:
            blobs.setdefault(row.view.name, {})[place] = row.pack()
    tensors = _tensors(_IDS, ids)
    for view, by_place in blobs.items():
        parts = [by_place.get(place, b"") for place in range(len(ids))]
        tensors |= _tensors(_ROWS + view, parts)
    save_file(tensors, path, {_LOG_OFFSET: str(event_log_offset)})
    return len(ids)


@dataclass(frozen=True, slots=True)
class _Blobs:
    """Byte strings one behind the other."""

    blob: ByteArray
    offsets: OffsetArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> bytes:
        start, end = self.offsets[place : place + 2]
        return self.blob[start:end].tobytes()


@dataclass(frozen=True, slots=True)
class UserStateFile:
    """Rows of U users as they lie in the file. Concurrency: immutable."""

    event_log_offset: int
    ids: _Blobs
    rows: Mapping[str, _Blobs]

    @classmethod
    def load(cls, path: Path) -> "UserStateFile":
        """Reads what `write_user_state` wrote; rows are unpacked by nobody here.

        Raises:
            DataLossError: names the tensor that is missing or does not fit.
            SchemaMismatchError: the rows of a view are of another definition of it.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                log_offset = int((file.metadata() or {}).get(_LOG_OFFSET, "0"))
        except (SafetensorError, ValueError) as error:
            raise DataLossError(f"{path}: {error}") from error
        for name in tensors:
            if not name.startswith((f"{_IDS}_", _ROWS)):
                # Users without rows would be the worst way to read an older file.
                raise DataLossError(f"{path}: {name} is an older form; train again")
        ids = _blobs(path, tensors, _IDS)
        names = [n.removesuffix("_blob") for n in tensors if n.endswith("_blob")]
        rows = {
            name.removeprefix(_ROWS): _blobs(path, tensors, name)
            for name in sorted(names)
            if name.startswith(_ROWS)
        }
        for view, blobs in rows.items():
            if len(blobs) != len(ids):
                raise DataLossError(f"{path}: ids and rows of {view} differ in number")
            _check_schema(view, blobs)
        return cls(log_offset, ids, rows)

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[dict[str, dict[str, bytes]]]:
        """Yields user id -> view -> packed row, at most `size` users at a time.

        A view stands there only where the user has a row.
        """
        for start in range(0, len(self), size):
            users = range(start, min(start + size, len(self)))
            yield {self.ids[user].decode(): self._rows_of(user) for user in users}

    def _rows_of(self, user: int) -> dict[str, bytes]:
        rows = ((view, blobs[user]) for view, blobs in self.rows.items())
        return {view: row for view, row in rows if row}


def _tensors(name: str, parts: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    blob = np.frombuffer(b"".join(parts), np.uint8)
    return {f"{name}_blob": blob, f"{name}_offsets": offsets}


def _check_schema(view: str, blobs: _Blobs) -> None:
    # One program wrote them all: the first row tells.
    rows = (blobs[place] for place in range(len(blobs)))
    first = next((row for row in rows if row), None)
    known = {known.name: known.schema_key for known in REGISTRY.views}
    if first is None or view not in known:
        return
    actual = row_header(first).schema_key
    if actual != known[view]:
        raise SchemaMismatchError(view, known[view], actual)


def _blobs(path: Path, tensors: Mapping[str, npt.NDArray[Any]], name: str) -> _Blobs:
    parts = []
    for part, dtype in ((f"{name}_blob", np.uint8), (f"{name}_offsets", np.int64)):
        tensor = tensors.get(part)
        if tensor is None:
            raise DataLossError(f"{path}: has no {part}; train again")
        if tensor.dtype != dtype or tensor.ndim != 1:
            raise DataLossError(f"{path}: {part} is no {np.dtype(dtype)} vector")
        parts.append(tensor)
    blob, offsets = parts
    tiles = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(blob)
    if not tiles or bool(np.any(np.diff(offsets) < 0)):
        raise DataLossError(f"{path}: {name} do not tile {len(blob)} bytes")
    return _Blobs(blob, offsets)
