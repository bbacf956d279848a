"""Baselines: what is typical of a segment, and that a release keeps it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError
from stepwell.features.baselines import BASELINES_NAME, Baselines
from stepwell.schema.feature_registry import USER, USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow, values_from
from stepwell.schema.feature_view import Feature, FeatureView, Source, WhenStale

VIEW = FeatureView(
    name="loyalty",
    entity=USER,
    source=Source.BATCH,
    features=(
        Feature("spend", "float32", 0.0, "a month", 0.0, 1e6),
        Feature("level", "int32", 0, "of the card", 0, 9),
        Feature("shops", "uint64", 0, "keys", 0, 1 << 63, length=2),
    ),
    ttl_seconds=100,
    freshness_seconds=0,
    when_stale=WhenStale.BASELINE,
    description="for tests",
)


def _row(spend: float, level: int, shops: Sequence[int]) -> FeatureRow:
    given = {"spend": spend, "level": level, "shops": list(shops)}
    return FeatureRow.of(VIEW, values_from(VIEW, given), 1, 1)


USERS = [
    (1, [_row(10.0, 3, (7, 1))]),
    (1, [_row(20.0, 3, (7, 2))]),
    (1, [_row(60.0, 5, (8, 2))]),
    (2, [_row(100.0, 1, (9, 9))]),
    (3, []),
]


def _told(baselines: Baselines, segment: int) -> tuple[float, int, list[int]]:
    row = baselines.row(VIEW.name, segment)
    return float(row["spend"]), int(row["level"]), row["shops"].tolist()


def test_a_segments_row_is_the_mean_of_floats_and_the_most_frequent_of_others() -> None:
    baselines = Baselines.of_users(USERS, num_segments=4)
    assert _told(baselines, 1) == (30.0, 3, [7, 2])
    assert _told(baselines, 2) == (100.0, 1, [9, 9])


@pytest.mark.parametrize("segment", [0, 3])
def test_who_is_of_no_segment_or_of_an_empty_one_has_that_of_all(segment: int) -> None:
    baselines = Baselines.of_users(USERS, num_segments=4)
    assert _told(baselines, segment) == (47.5, 3, [7, 2])


def test_only_views_that_say_so_have_one() -> None:
    plain = replace(VIEW, when_stale=WhenStale.DEFAULT)
    rows = [FeatureRow.of(plain, plain.default_row(), 1, 1)]
    assert VIEW.name not in Baselines.of_users([(0, rows)], 1)
    assert VIEW.name in Baselines.of_users(USERS, 4)


def test_a_release_keeps_them(tmp_path: Path) -> None:
    made = Baselines.of_users(USERS, num_segments=4)
    made.save(tmp_path)
    kept = Baselines.load(tmp_path, [VIEW, USER_ACTIVITY], 4)
    assert [_told(kept, segment) for segment in range(4)] == [
        _told(made, segment) for segment in range(4)
    ]
    assert USER_ACTIVITY.name not in kept
    with pytest.raises(ValueError, match="read-only"):
        kept.row(VIEW.name, 0)["level"] = 9


def test_a_view_whose_baseline_no_release_keeps_uses_its_default_and_says_so(
    tmp_path: Path,
) -> None:
    without = Baselines.load(tmp_path, [VIEW], 4)
    assert VIEW.name not in without
    (view,) = without.backing([VIEW])
    assert view == replace(VIEW, when_stale=WhenStale.DEFAULT)
    assert Baselines.of_users(USERS, 4).backing([VIEW]) == [VIEW]


def test_a_damaged_file_and_rows_of_another_size_are_refused(tmp_path: Path) -> None:
    Baselines.of_users(USERS, num_segments=4).save(tmp_path)
    path = tmp_path / BASELINES_NAME
    whole = load_file(path)
    save_file({VIEW.name: whole[VIEW.name][:-1]}, path)
    with pytest.raises(DataLossError, match=BASELINES_NAME):
        Baselines.load(tmp_path, [VIEW], 4)
    save_file(whole, path)
    with pytest.raises(DataLossError, match=r"has rows \(4,\), must be \(5,\)"):
        Baselines.load(tmp_path, [VIEW], 5)
    path.write_bytes(b"?")
    with pytest.raises(DataLossError, match=BASELINES_NAME):
        Baselines.load(tmp_path, [VIEW], 4)
