"""Opening LMDB, and its errors as ours. The only module that imports lmdb."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb

from stepwell.base.errors import (
    FailedPreconditionError,
    ResourceExhaustedError,
    StepwellError,
    UnavailableError,
)

Environment = lmdb.Environment
Transaction = lmdb.Transaction
Database = lmdb._Database


@dataclass(frozen=True, slots=True)
class LmdbOptions:
    """How an environment is opened.

    Attributes:
        map_size_bytes: upper bound of the file; address space, not memory or disk.
        max_databases: named tables.
        durable_commits: a commit returns after its meta page is on disk. Without it a
            power cut may undo the last commits, whole ones in order.
    """

    map_size_bytes: int = 16 << 30
    max_databases: int = 8
    durable_commits: bool = True


def open_environment(path: Path, options: LmdbOptions) -> Environment:
    """Opens or creates the environment in folder `path` (mode 0700).

    Raises:
        FailedPreconditionError: it is open in this process already (share that one).
        UnavailableError: the folder cannot be used.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        environment = lmdb.open(
            str(path),
            map_size=options.map_size_bytes,
            max_dbs=options.max_databases,
            metasync=options.durable_commits,
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


def open_tables(
    environment: Environment, path: Path, names: Sequence[bytes]
) -> list[Database]:
    """Opens or creates named tables; closes the environment when that fails.

    Raises:
        UnavailableError, ResourceExhaustedError: as `lmdb_errors`.
    """
    try:
        with lmdb_errors(path):
            return [environment.open_db(name) for name in names]
    except StepwellError:
        environment.close()
        raise


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
