"""The online store embedded in the process: C++ over LMDB, no server needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepwell.base.native import native_module
from stepwell.stores.key_value_store import Guard, checked_entries, entry_key

DEFAULT_MAP_BYTES = 16 << 30


class LmdbKeyValueStore:
    """A KeyValueStore in one memory-mapped file.

    Args:
        path: folder of the file, made (mode 0700) where it is missing.
        map_size_bytes: upper bound of the file; address space, not memory or disk.

    Raises:
        FailedPreconditionError: it is open in this process already (share that one).
        UnavailableError: the folder cannot be used.
        DataLossError: its file was cut short, or is none of LMDB.
    Concurrency: as the interface says; readers never wait for writers, so that a read
    needs no time limit. A process opens one folder once. A read of rows that lie in
    memory keeps the interpreter; once one had to wait for the disk, others go on
    meanwhile.
    Cost: about 0.5 us a key read; a write is one fdatasync.
    """

    def __init__(self, path: Path, map_size_bytes: int = DEFAULT_MAP_BYTES) -> None:
        self._native = native_module("_online_store").LmdbStore(
            str(path), map_size_bytes
        )
        self._get_rows = self._native.get_rows

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        return self.get_rows([(view, key) for key in keys], timeout_us)

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        del timeout_us  # memory, or one page from disk: there is no wait to cut short
        blobs: list[bytes | None] = self._get_rows(rows)
        return blobs

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        self._native.write(None, checked_entries({view: values}))

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        guarded = (entry_key(guard.view, guard.key), guard.expected)
        is_written: bool = self._native.write(guarded, checked_entries(changes))
        return is_written

    def close(self) -> None:
        self._native.close()
