"""A folder of views' rows, such as the import of a feature store leaves."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ViewTable,
)

ENTITY_COLUMNS = ("user_id", "item_id")
TTL_METADATA = b"ttl_seconds"
"""Key of a file's metadata that says how old a row may be; absent is no limit."""


def view_tables(folder: Path) -> tuple[ViewTable, ...]:
    """Returns the views of a folder, one for each NAME.parquet, by name.

    A file has user_id or item_id (text), event_timestamp (int64, unix seconds),
    created_timestamp (int64, unix microseconds), and features.

    Raises:
        NotFoundError: no such file is there.
        InvalidArgumentError: a file is unreadable or has other columns; names them.
    """
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise NotFoundError(f"{folder} holds no views, such as NAME.parquet")
    return tuple(_view_table(path) for path in paths)


def _view_table(path: Path) -> ViewTable:
    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidArgumentError(f"{path}: not readable: {error}") from error
    schema = footer.schema.to_arrow_schema()
    keys = [name for name in ENTITY_COLUMNS if name in schema.names]
    if len(keys) != 1:
        raise InvalidArgumentError(
            f"{path} must have one of {', '.join(ENTITY_COLUMNS)}; it has "
            f"{', '.join(schema.names)}",
            "user_id",
        )
    times = (EVENT_TIMESTAMP, CREATED_TIMESTAMP)
    wanted = {keys[0]: pa.string(), **dict.fromkeys(times, pa.int64())}
    for name, dtype in wanted.items():
        found = schema.field(name).type if name in schema.names else "missing"
        # Text comes in two forms, by who wrote the file.
        if found != dtype and (dtype, found) != (pa.string(), pa.large_string()):
            raise InvalidArgumentError(f"{path}: {name} is {found}, not {dtype}", name)
    features = tuple(name for name in schema.names if name not in wanted)
    types = ", ".join(f"{name} {schema.field(name).type}" for name in features)
    ttl = (footer.metadata or {}).get(TTL_METADATA, b"0")
    if not ttl.isdigit():
        raise InvalidArgumentError(f"{path}: ttl_seconds is {ttl!r}, must be a number")
    return ViewTable(path.stem, keys[0], path, features, int(ttl), types)
