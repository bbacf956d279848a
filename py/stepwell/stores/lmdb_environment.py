"""Opening LMDB, and its errors as ours. The only module that imports lmdb.

For the online store alone: the event log is C++ and brings its own copy of the library.
No folder may be open through both in one process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from stepwell.base.errors import (
    FailedPreconditionError,
    ResourceExhaustedError,
    UnavailableError,
)

Environment = lmdb.Environment


def open_environment(path: Path, map_size_bytes: int) -> Environment:
    """Opens or creates the environment in folder `path` (mode 0700).

    A power cut may undo the last commits, whole ones in order.

    Args:
        map_size_bytes: upper bound of the file; address space, not memory or disk.

    Raises:
        FailedPreconditionError: it is open in this process already (share that one).
        UnavailableError: the folder cannot be used.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        environment = lmdb.open(
            str(path),
            map_size=map_size_bytes,
            metasync=False,
            readahead=False,
            max_readers=512,
        )
    except lmdb.Error as error:
        if "already open" in str(error):
            raise FailedPreconditionError(
                f"{path} is open in this process already; share that store"
            ) from error
        raise UnavailableError(f"cannot open {path}: {error}") from error
    # Readers killed in the middle of a read would pin old pages for ever.
    environment.reader_check()
    return environment


@contextmanager
def lmdb_errors(path: Path) -> Iterator[None]:
    """Turns errors of LMDB inside the block into StepwellErrors that name `path`."""
    try:
        yield
    except lmdb.MapFullError as error:
        raise ResourceExhaustedError(f"{path} is full: {error}") from error
    except lmdb.Error as error:
        if "No space left" in str(error):
            raise ResourceExhaustedError(f"{path}: {error}") from error
        raise UnavailableError(f"{path}: {error}") from error
