"""The columns of the items of a release."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.features.catalogue import ITEM_FEATURES, FeatureCatalogue
from stepwell.features.item_columns import ITEM_COLUMNS_NAME, ItemColumns

Tensors = dict[str, npt.NDArray[np.generic]]


def test_unknown_numbers_become_the_median(
    items: ItemColumns, catalogue: FeatureCatalogue
) -> None:
    table = items.table(catalogue)
    assert table.numbers[:, table.price].tolist() == [1, 2, 3, 4, 5, 2.5, 2]
    intervals = table.numbers[:, table.interval]
    assert intervals.tolist() == [7, 14, 21, 28, 17.5, 17.5, 17.5]


def test_numbers_and_the_three_of_the_request_are_the_item_features(
    items: ItemColumns,
) -> None:
    assert items.numbers.shape == (7, len(ITEM_FEATURES) - 3)


def test_shares_of_a_category_sum_to_one(items: ItemColumns) -> None:
    shares = items.category_shares["department"]
    assert shares[:3].sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(16 / 36)
    assert shares[5:].tolist() == [0.0, 0.0]


def test_table_has_a_row_for_every_named_category(items: ItemColumns) -> None:
    # Codes go to 2, four names exist.
    assert items.category_sizes == {"department": 4}


def test_loads_what_a_release_holds(
    tensors: Tensors, catalogue: FeatureCatalogue, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / ITEM_COLUMNS_NAME)
    assert len(ItemColumns.load(tmp_path, catalogue)) == 7


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("number/price", None, "lack number/price"),
        ("time/last_seen", np.zeros(6, np.int64), "different lengths"),
        ("category/department", np.full(7, -1, np.int32), "must be >= 0"),
    ],
)
def test_refuses_columns_that_do_not_fit(
    tensors: Tensors,
    catalogue: FeatureCatalogue,
    name: str,
    column: npt.NDArray[np.generic] | None,
    message: str,
) -> None:
    del tensors[name]
    if column is not None:
        tensors[name] = column
    with pytest.raises(DataLossError, match=message):
        ItemColumns.from_tensors(tensors, catalogue)


def test_refuses_a_damaged_file(catalogue: FeatureCatalogue, tmp_path: Path) -> None:
    (tmp_path / ITEM_COLUMNS_NAME).write_bytes(b"\x08" + b"\0" * 7 + b"garbage!")
    with pytest.raises(DataLossError, match=ITEM_COLUMNS_NAME):
        ItemColumns.load(tmp_path, catalogue)
