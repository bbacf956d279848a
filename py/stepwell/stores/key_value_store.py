"""The online store: one packed blob for each (view, entity)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from stepwell.base.errors import InvalidArgumentError, check_range

MAX_VIEW_BYTES = 64
MAX_KEY_BYTES = 256
MAX_BLOB_BYTES = 1 << 20
WATERMARK_VIEW = "writer_watermark"
"""How far the writer of each view has come; the key is the view's name."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What a guarded write expects to find: `expected` None means no blob there."""

    view: str
    key: str
    expected: bytes | None


class KeyValueStore(Protocol):
    """Blobs by view and entity.

    Concurrency: every method may be called from any thread, and several processes may
    share one store; a write is seen whole or not at all.
        In a Redis Cluster that holds for each key by itself; see there what a guarded
        write still promises.
    Durability: a write survives the death of the process. After a power cut the store
    is as of some earlier write, never a mixture: what was written together stays so.
    Errors: UnavailableError when the backend does not answer within its time limit;
    ResourceExhaustedError when it is full; InvalidArgumentError for a bad name or size.
    """

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        """Returns the blob of each key in order, None where there is none.

        Args:
            timeout_us: the caller's remaining time; what takes longer is given up with
                UnavailableError. The store's own limit holds anyway; None is a read
                off the request path, which may take longer.
        Cost: one round trip for all keys.
        """
        ...

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        """As `get_many` for (view, key) pairs of any views: all that a request needs.

        Cost: one round trip for all of them.
        """
        ...

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        """Writes all blobs of one view, atomically."""
        ...

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        """Writes blobs of several views, view -> key -> blob, atomically and guarded.

        Returns:
            False, and nothing is written, when the guard's blob is another one.
        """
        ...

    def close(self) -> None:
        """Gives up files and connections; the store is not used afterwards."""
        ...


def entry_key(view: str, key: str) -> bytes:
    """Returns the stored key of an entity: view, a zero byte, key.

    Raises:
        InvalidArgumentError: a name is empty, too long or the view holds a zero byte.
    """
    key_bytes = key.encode()
    if not 1 <= len(key_bytes) <= MAX_KEY_BYTES:
        check_range("key", len(key_bytes), 1, MAX_KEY_BYTES)
    return _view_prefix(view) + key_bytes


@lru_cache(maxsize=256)
def _view_prefix(view: str) -> bytes:
    view_bytes = view.encode()
    check_range("view", len(view_bytes), 1, MAX_VIEW_BYTES)
    if b"\0" in view_bytes:
        raise InvalidArgumentError(f"view {view!r} has a zero byte", "view")
    return view_bytes + b"\0"


def checked_entries(
    changes: Mapping[str, Mapping[str, bytes]],
) -> list[tuple[bytes, bytes]]:
    """Returns (stored key, blob) of all changes, every name and size checked first."""
    entries = []
    for view, values in changes.items():
        for key, blob in values.items():
            check_range(f"size of {view}/{key}", len(blob), 0, MAX_BLOB_BYTES)
            entries.append((entry_key(view, key), blob))
    return entries
