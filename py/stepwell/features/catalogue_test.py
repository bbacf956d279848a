"""The list of features."""

from dataclasses import fields, replace

import pytest

from stepwell.base.errors import FailedPreconditionError
from stepwell.features.catalogue import (
    AFFINITY_FEATURE_COUNT,
    DenseFeature,
    FeatureCatalogue,
    catalogue_for,
)
from stepwell.features.view_features import RANKER_VIEWS
from stepwell.models.ranker_config import (
    TRANSFORMS,
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
)
from stepwell.schema.feature_errors import UnknownViewError


def test_names_are_unique_and_transforms_known() -> None:
    catalogue = FeatureCatalogue(("department", "category"), ("department",))
    assert len(set(catalogue.dense_names)) == len(catalogue.dense_names)
    assert {feature.transform for feature in catalogue.dense} <= set(TRANSFORMS)


def test_each_affinity_column_adds_its_features() -> None:
    one = FeatureCatalogue(("department",), ())
    two = FeatureCatalogue(("department", "category"), ())
    assert len(two.dense) - len(one.dense) == AFFINITY_FEATURE_COUNT


def test_schema_hash_changes_with_columns_and_their_order() -> None:
    hashes = {
        FeatureCatalogue(affinity, embedded).schema_hash()
        for affinity in (("a", "b"), ("b", "a"), ("a",))
        for embedded in (("a", "b"), ("b", "a"))
    }
    assert len(hashes) == 6


def test_a_release_of_other_features_is_refused() -> None:
    catalogue = FeatureCatalogue(("department",), ("department",))
    model = ModelConfig(
        dense=(DenseColumn("own_is", "linear", 0.0, 1.0),),
        sparse=(),
        embedding_dim=1,
        bottom_widths=(1,),
        top_widths=(),
        objectives=(Objective("purchase", 1.0),),
    )
    config = RankerConfig(
        ("department",), ("department",), catalogue.schema_hash(), model, model
    )
    assert catalogue_for(config) == catalogue
    with pytest.raises(FailedPreconditionError, match="train again"):
        catalogue_for(replace(config, feature_schema_hash="0" * 64))


def test_refuses_more_affinity_columns_than_a_request_can_pay_for() -> None:
    with pytest.raises(ValueError, match="affinity_columns has 5 entries"):
        FeatureCatalogue(("a", "b", "c", "d", "e"), ())


def test_every_feature_has_a_meaning() -> None:
    assert "meaning" in {field.name for field in fields(DenseFeature)}
    catalogue = FeatureCatalogue(("department",), ())
    assert all(feature.meaning for feature in catalogue.dense)


def test_features_of_views_stand_behind_all_others_and_in_the_hash() -> None:
    plain = FeatureCatalogue(("department",), ("department",))
    whole = replace(plain, views=RANKER_VIEWS)
    assert whole.dense_names[: len(plain.dense)] == plain.dense_names
    more = whole.dense_names[len(plain.dense) :]
    assert more[:4] == (
        "missing_user_history",
        "missing_user_activity",
        "missing_user_profile",
        "missing_request_context",
    )
    assert more[4] == "user_activity_click_decayed_1h"
    assert more[15] == "request_hour_sin"
    assert more[-1] == "item_activity_purchase_decayed_7d"
    assert len(more) == 4 + 11 + 5 + 6
    assert whole.schema_hash() != plain.schema_hash()
    # Of releases from before there were views, and from before requests had one: they
    # are served on.
    stored = replace(plain, views=RANKER_VIEWS[:4])
    assert stored.schema_hash()[:16] == "f2f24a3a8458ee05"
    assert plain.schema_hash()[:16] == "b93b91d289973b3d"


def test_a_view_brings_its_own_features_only() -> None:
    plain = FeatureCatalogue((), ())
    history = replace(plain, views=("user_history",))
    assert history.dense_names[len(plain.dense) :] == ("missing_user_history",)
    items = replace(plain, views=("item_activity",))
    assert len(items.dense) == len(plain.dense) + 6


def test_refuses_a_view_that_there_is_not() -> None:
    with pytest.raises(UnknownViewError, match="'user_activty'; did you mean user_act"):
        FeatureCatalogue((), (), ("user_history", "user_activty"))
