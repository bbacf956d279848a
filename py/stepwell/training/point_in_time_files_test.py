"""Views of a folder: read as they are, or refused by name."""

from pathlib import Path

import polars as pl
import pytest

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.training.point_in_time_files import view_tables


def written(folder: Path, **columns: object) -> Path:
    frame = {
        "user_id": ["u"],
        "event_timestamp": [1],
        "created_timestamp": [2],
        "points": [0.5],
        **columns,
    }
    kept = {name: values for name, values in frame.items() if values is not None}
    metadata = {"ttl_seconds": "60"}
    pl.DataFrame(kept).write_parquet(folder / "loyalty.parquet", metadata=metadata)
    return folder


def test_a_file_is_a_view_with_its_time_to_live(tmp_path: Path) -> None:
    (view,) = view_tables(written(tmp_path))
    assert (view.name, view.key, view.ttl_seconds) == ("loyalty", "user_id", 60)
    assert view.columns == (
        "loyalty:points",
        "loyalty:event_timestamp",
        "loyalty:created_timestamp",
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"user_id": None, "entity_id": ["u"]}, "one of user_id, item_id; it has"),
        ({"item_id": ["i"]}, "one of user_id, item_id; it has"),
        ({"created_timestamp": None}, "created_timestamp is missing, not int64"),
        ({"event_timestamp": [1.5]}, "event_timestamp is double, not int64"),
        ({"user_id": [7]}, "user_id is int64, not string"),
    ],
)
def test_other_columns_are_refused(
    tmp_path: Path, columns: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        view_tables(written(tmp_path, **columns))


def test_what_is_no_parquet_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no views"):
        view_tables(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(InvalidArgumentError, match="not readable"):
        view_tables(tmp_path)
