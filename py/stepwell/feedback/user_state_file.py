"""The file in which training hands over user state: ids and packed histories."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.schema.user_history import UserHistory

USER_STATE_NAME = "user_state.safetensors"
_LOG_OFFSET = "event_log_offset"
_DTYPES = {
    "ids_blob": np.uint8,
    "ids_offsets": np.int64,
    "state_blob": np.uint8,
    "state_offsets": np.int64,
}


def write_user_state(
    path: Path,
    states: Iterable[tuple[str, UserHistory]],
    event_log_offset: int = 0,
) -> int:
    """Writes the histories of users; returns how many.

    Args:
        states: (user id, history), each user once.
        event_log_offset: events of the log before this offset are in the histories;
            0 when training read no log.
    """
    ids: list[bytes] = []
    blobs: list[bytes] = []
    for user_id, history in states:
        ids.append(user_id.encode())
        blobs.append(history.pack())
    tensors: dict[str, npt.NDArray[Any]] = {
        "ids_blob": _bytes_array(ids),
        "ids_offsets": _offsets(ids),
        "state_blob": _bytes_array(blobs),
        "state_offsets": _offsets(blobs),
    }
    save_file(tensors, path, {_LOG_OFFSET: str(event_log_offset)})
    return len(ids)


@dataclass(frozen=True, slots=True)
class UserStateFile:
    """Histories of U users as they lie in the file. Concurrency: immutable."""

    event_log_offset: int
    ids_blob: npt.NDArray[np.uint8]
    ids_offsets: npt.NDArray[np.int64]
    state_blob: npt.NDArray[np.uint8]
    state_offsets: npt.NDArray[np.int64]

    @classmethod
    def load(cls, path: Path) -> "UserStateFile":
        """Reads what `write_user_state` wrote; histories are unpacked by nobody here.

        Raises:
            DataLossError: names the tensor that is missing or does not fit.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in _DTYPES}
                log_offset = int((file.metadata() or {}).get(_LOG_OFFSET, "0"))
        except (SafetensorError, ValueError) as error:
            raise DataLossError(f"{path}: {error}") from error
        for name, dtype in _DTYPES.items():
            if tensors[name].dtype != dtype or tensors[name].ndim != 1:
                raise DataLossError(f"{path}: {name} is no {np.dtype(dtype)} vector")
        state = cls(log_offset, **tensors)
        state._check(path)
        return state

    def __len__(self) -> int:
        return len(self.ids_offsets) - 1

    def batches(self, size: int) -> Iterator[dict[str, bytes]]:
        """Yields user id -> packed history, at most `size` users at a time."""
        for start in range(0, len(self), size):
            users = range(start, min(start + size, len(self)))
            yield {self._id(user): self._state(user) for user in users}

    def _id(self, user: int) -> str:
        start, end = self.ids_offsets[user : user + 2]
        return self.ids_blob[start:end].tobytes().decode()

    def _state(self, user: int) -> bytes:
        start, end = self.state_offsets[user : user + 2]
        return self.state_blob[start:end].tobytes()

    def _check(self, path: Path) -> None:
        if len(self.ids_offsets) != len(self.state_offsets):
            raise DataLossError(f"{path}: ids and states differ in number")
        for offsets, blob in (
            (self.ids_offsets, self.ids_blob),
            (self.state_offsets, self.state_blob),
        ):
            tiles = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(blob)
            if not tiles or bool(np.any(np.diff(offsets) < 0)):
                raise DataLossError(f"{path}: offsets do not tile {len(blob)} bytes")


def _bytes_array(parts: list[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(parts), np.uint8)


def _offsets(parts: list[bytes]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return offsets
