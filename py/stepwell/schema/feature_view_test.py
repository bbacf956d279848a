"""What a view promises: one struct, one hash, one default a feature."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError
from stepwell.schema.feature_errors import UnknownFeatureError, UnknownViewError
from stepwell.schema.feature_view import (
    MAX_ROW_BYTES,
    Entity,
    Feature,
    FeatureService,
    FeatureType,
    FeatureView,
    Source,
    WhenStale,
)

AGE = Feature("age", "int32", 30, "years", 0, 150)
TASTE = Feature("taste", "float32", 0.5, "of each kind", -1.0, 1.0, 3)
VIEW = FeatureView(
    name="shopper",
    entity=Entity("user", "user_id"),
    source=Source.BATCH,
    features=(AGE, TASTE),
    ttl_seconds=60,
    freshness_seconds=0,
    when_stale=WhenStale.DEFAULT,
    description="who shops",
)


def test_a_row_is_packed_in_the_declared_order() -> None:
    assert VIEW.row_dtype.itemsize == 4 + 3 * 4
    assert VIEW.row_dtype.names == ("age", "taste")


def test_a_default_row_holds_the_defaults_and_can_be_written() -> None:
    row = VIEW.default_row()
    assert (int(row["age"]), row["taste"].tolist()) == (30, [0.5, 0.5, 0.5])
    row["age"] = 31
    assert int(VIEW.default_row()["age"]) == 30


@pytest.mark.parametrize(
    "other",
    [
        replace(VIEW, name="buyer"),
        replace(VIEW, entity=Entity("item", "item_id")),
        replace(VIEW, features=(TASTE, AGE)),
        replace(VIEW, features=(replace(AGE, default=31), TASTE)),
        replace(VIEW, features=(replace(AGE, dtype="int64"), TASTE)),
        replace(VIEW, features=(AGE, replace(TASTE, length=4))),
    ],
)
def test_the_hash_changes_with_what_a_row_means(other: FeatureView) -> None:
    assert other.schema_hash() != VIEW.schema_hash()
    assert other.schema_key != VIEW.schema_key


@pytest.mark.parametrize(
    "other",
    [
        replace(VIEW, ttl_seconds=61),
        replace(VIEW, freshness_seconds=600),
        replace(VIEW, when_stale=WhenStale.DROP_TIER),
        replace(VIEW, description="who buys"),
        replace(VIEW, features=(replace(AGE, default=30.0, meaning="y"), TASTE)),
    ],
)
def test_the_hash_stays_when_only_windows_and_words_change(other: FeatureView) -> None:
    assert other.schema_hash() == VIEW.schema_hash()


def test_neighbours_of_one_dtype_are_bounded_together() -> None:
    view = replace(VIEW, features=(TASTE, replace(TASTE, name="zest", length=1), AGE))
    bounds = view.bounds
    assert [(b.dtype, b.offset, len(b.low)) for b in bounds] == [
        (np.dtype("<f4"), 0, 4),
        (np.dtype("<i4"), 16, 1),
    ]


def test_a_view_with_lists_has_no_struct() -> None:
    view = replace(VIEW, features=(replace(AGE, length=0),))
    assert view.has_lists
    with pytest.raises(FailedPreconditionError, match="shopper has lists"):
        view.default_row()


def test_an_unknown_feature_is_answered_with_the_nearest() -> None:
    assert VIEW.feature("taste") is TASTE
    with pytest.raises(UnknownFeatureError, match=r"'taste_'; did you mean taste\?"):
        VIEW.feature("taste_")


def _feature(
    name: str = "age",
    dtype: FeatureType = "int32",
    default: float = 0,
    low: float = 0,
    high: float = 1,
    length: int = 1,
) -> Feature:
    return Feature(name, dtype, default, "years", low, high, length)


def test_a_feature_names_what_is_wrong_with_it() -> None:
    with pytest.raises(InvalidArgumentError, match="name is 'Age'"):
        _feature(name="Age")
    with pytest.raises(InvalidArgumentError, match="default is 2, must be in"):
        _feature(default=2)
    with pytest.raises(InvalidArgumentError, match="must be finite"):
        _feature(high=float("inf"))
    with pytest.raises(InvalidArgumentError, match="dtype is 'text'"):
        _feature(dtype="text")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="high is 2147483648, must be"):
        _feature(high=1 << 31)
    with pytest.raises(InvalidArgumentError, match="length is -1"):
        _feature(length=-1)


def test_a_view_names_what_is_wrong_with_it() -> None:
    with pytest.raises(InvalidArgumentError, match="each once"):
        replace(VIEW, features=(AGE, AGE))
    with pytest.raises(InvalidArgumentError, match="ttl_seconds is 0"):
        replace(VIEW, ttl_seconds=0)
    with pytest.raises(InvalidArgumentError, match="a row has 262148 bytes"):
        replace(VIEW, features=(replace(AGE, length=MAX_ROW_BYTES // 4 + 1),))


def test_a_service_hash_covers_its_views_in_order() -> None:
    other = replace(VIEW, name="other")
    service = FeatureService("ranker", (VIEW, other))
    assert service.view("other") is other
    turned = FeatureService("ranker", (other, VIEW))
    assert service.schema_hash() != turned.schema_hash()
    with pytest.raises(UnknownViewError, match=r"did you mean shopper\?"):
        service.view("shoper")
