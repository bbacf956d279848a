"""The online store embedded in the process: LMDB, no server needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepwell.stores.key_value_store import Guard, checked_entries, entry_key
from stepwell.stores.lmdb_environment import lmdb_errors, open_environment

DEFAULT_MAP_BYTES = 16 << 30


class LmdbKeyValueStore:
    """A KeyValueStore in one memory-mapped file.

    Args:
        map_size_bytes: upper bound of the file; address space, not memory or disk.

    Concurrency: as the interface says; readers never wait for writers, so that a read
    needs no time limit. A process opens one folder once.
    Cost: about 1 us a key read, no copy to the kernel; a write is one fdatasync.
    """

    def __init__(self, path: Path, map_size_bytes: int = DEFAULT_MAP_BYTES) -> None:
        self._path = path
        self._environment = open_environment(path, map_size_bytes)

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        del timeout_us  # memory, or one page from disk: there is no wait to cut short
        entries = [entry_key(view, key) for key in keys]
        with lmdb_errors(self._path), self._environment.begin() as transaction:
            return [transaction.get(entry) for entry in entries]

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        entries = checked_entries({view: values})
        with (
            lmdb_errors(self._path),
            self._environment.begin(write=True) as transaction,
        ):
            for key, blob in entries:
                transaction.put(key, blob)

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        entries = checked_entries(changes)
        guarded = entry_key(guard.view, guard.key)
        with (
            lmdb_errors(self._path),
            self._environment.begin(write=True) as transaction,
        ):
            if transaction.get(guarded) != guard.expected:
                return False
            for key, blob in entries:
                transaction.put(key, blob)
        return True

    def close(self) -> None:
        self._environment.close()
