"""Stepwell's own views: their rows are what is stored, so a change must be meant."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.schema.feature_errors import UnknownViewError
from stepwell.schema.feature_registry import (
    ITEM_ACTIVITY,
    RANKER_SERVICE,
    REGISTRY,
    USER_ACTIVITY,
    USER_HISTORY,
    USER_PROFILE,
    FeatureRegistry,
)
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import FeatureService, FeatureView
from stepwell.schema.user_history import MAX_ITEMS, UserHistory


@pytest.mark.parametrize(
    ("view", "key"),
    [
        (USER_HISTORY, "1577548b032cada2"),
        (USER_ACTIVITY, "6236e88bbf95535c"),
        (USER_PROFILE, "d8780146ae2ef49c"),
        (ITEM_ACTIVITY, "50f595e3c87ebba6"),
    ],
)
def test_a_changed_row_is_a_changed_schema_on_purpose(
    view: FeatureView, key: str
) -> None:
    assert f"{view.schema_key:016x}" == key, (
        f"{view.name}: stored rows and releases will be refused; if that is meant, "
        "write the new key here and a line into CHANGELOG.md"
    )


def test_the_history_view_says_what_a_history_has() -> None:
    history = UserHistory.empty()
    for feature in USER_HISTORY.features:
        assert getattr(history, feature.name).dtype == np.dtype(feature.dtype)


def test_the_longest_history_is_a_row() -> None:
    keys = np.arange(MAX_ITEMS, dtype=np.uint64)
    longest = UserHistory.from_events(
        keys, np.ones(MAX_ITEMS, np.int64), None, "s" * 256
    )
    blob = FeatureRow(USER_HISTORY, longest.pack(), 1, 1).pack()
    assert (
        len(UserHistory.unpack(FeatureRow.unpack(USER_HISTORY, blob).body)) == MAX_ITEMS
    )


def test_activity_is_30_features_in_144_bytes() -> None:
    assert len(USER_ACTIVITY.features) == 30
    assert USER_ACTIVITY.row_dtype.itemsize == 144


def test_a_view_is_found_by_name_or_its_nearest_is_named() -> None:
    assert REGISTRY.view("user_activity") is USER_ACTIVITY
    assert REGISTRY.service("ranker") is RANKER_SERVICE
    with pytest.raises(UnknownViewError, match="'user_activty'; did you mean user_act"):
        REGISTRY.view("user_activty")
    with pytest.raises(UnknownViewError, match="'zzz'; known: item_activity, request"):
        REGISTRY.view("zzz")


def test_a_project_adds_views_in_code_and_changes_nothing_global() -> None:
    own = replace(USER_PROFILE, name="loyalty")
    registry = FeatureRegistry((*REGISTRY.services, FeatureService("own", (own,))))
    assert registry.view("loyalty") is own
    assert [view.name for view in registry.views][-1] == "loyalty"
    with pytest.raises(UnknownViewError):
        REGISTRY.view("loyalty")


def test_one_name_has_one_definition() -> None:
    other = replace(USER_PROFILE, ttl_seconds=1)
    with pytest.raises(InvalidArgumentError, match="two definitions of the view user_"):
        FeatureRegistry((RANKER_SERVICE, FeatureService("own", (other,))))
    with pytest.raises(InvalidArgumentError, match="share a name"):
        FeatureRegistry((RANKER_SERVICE, RANKER_SERVICE))


def test_every_feature_and_view_has_a_meaning() -> None:
    for view in REGISTRY.views:
        assert view.description
        assert all(feature.meaning for feature in view.features)
