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
from stepwell.models.ranker_config import (
    TRANSFORMS,
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
)


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
