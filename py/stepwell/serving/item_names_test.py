"""Item names from their file."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.serving.item_names import ITEM_NAMES_FILE, StoredItemNames


def _write(folder: Path, offsets: list[int]) -> None:
    blob = np.frombuffer("Café Milk".encode(), np.uint8)
    places = np.array(offsets, np.int64)
    save_file({"bytes": blob, "offsets": places}, folder / ITEM_NAMES_FILE)


def test_names_are_found_by_row(tmp_path: Path) -> None:
    _write(tmp_path, [0, 5, 5, 10])
    names = StoredItemNames.load(tmp_path)
    assert [names.name_of_row(row) for row in range(3)] == ["Café", "", " Milk"]
    assert len(names) == 3


@pytest.mark.parametrize("offsets", [[], [0, 5], [1, 10], [0, 7, 5, 10]])
def test_refuses_offsets_that_do_not_tile_the_bytes(
    tmp_path: Path, offsets: list[int]
) -> None:
    _write(tmp_path, offsets)
    with pytest.raises(DataLossError, match="do not tile"):
        StoredItemNames.load(tmp_path)


def test_refuses_a_missing_or_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(DataLossError):
        StoredItemNames.load(tmp_path)
    (tmp_path / ITEM_NAMES_FILE).write_bytes(b"nothing of ours")
    with pytest.raises(DataLossError):
        StoredItemNames.load(tmp_path)
