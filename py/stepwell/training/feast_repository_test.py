"""Definitions of a Feast repository: what Feast itself wrote, and what is refused."""

from pathlib import Path

import pytest

from stepwell.base.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    StepwellError,
)
from stepwell.training.feast_registry_fixture import SETTINGS, write_repository
from stepwell.training.feast_repository import (
    FOREVER_SECONDS,
    FeastRepository,
    read_feast_repository,
)
from stepwell_pb.v1 import feast_registry_pb2 as feast


def with_view(
    folder: Path, spec: feast.FeastFeatureViewSpec, key: str = "user_id"
) -> FeastRepository:
    user = feast.FeastEntity(spec=feast.FeastEntitySpec(name="user", join_key=key))
    view = feast.FeastFeatureView(spec=spec)
    registry = feast.FeastRegistry(entities=[user], feature_views=[view])
    write_repository(folder, registry.SerializeToString())
    return read_feast_repository(folder)


def spec(name: str = "clicks", value_type: int = 4) -> feast.FeastFeatureViewSpec:
    return feast.FeastFeatureViewSpec(
        name=name,
        entities=["user"],
        features=[feast.FeastFeature(name="count", value_type=value_type)],
        batch_source=feast.FeastDataSource(
            type=1,
            timestamp_field="at",
            file_options=feast.FeastFileOptions(uri="data/clicks.parquet"),
        ),
    )


def reasons(found: FeastRepository) -> list[str]:
    return [refusal.reason for refusal in found.refusals]


def test_reads_what_feast_itself_applied(tmp_path: Path) -> None:
    found = read_feast_repository(write_repository(tmp_path))
    assert found.project == "shop"
    views = {one.view.name: one for one in found.views}
    assert set(views) == {"driver_stats", "profile"}
    stats = views["driver_stats"]
    assert stats.view.ttl_seconds == 86_400
    assert (stats.view.entity.name, stats.view.entity.id_field) == (
        *("driver", "driver_id"),
    )
    assert (stats.event_column, stats.created_column) == ("event_timestamp", "created")
    assert stats.path == tmp_path / "data" / "stats.parquet"
    columns = {one.feature.name: (one.column, one.kind) for one in stats.columns}
    assert columns == {
        "conv_rate": ("rate", "number"),
        "trips": ("trips", "number"),
        "city": ("city", "text"),
        "vip": ("vip", "flag"),
        "hired": ("hired", "time"),
    }
    assert stats.view.feature("conv_rate").meaning == "share of offers taken"
    assert views["profile"].view.ttl_seconds == FOREVER_SECONDS


def test_whatever_has_no_form_here_is_named_with_its_reason(tmp_path: Path) -> None:
    found = read_feast_repository(write_repository(tmp_path))
    assert {refusal.what for refusal in found.refusals} == {
        "view away",
        "view pair",
        "feature driver_stats:places",
    }


def test_a_view_made_by_code_is_refused_and_its_code_not_run(tmp_path: Path) -> None:
    computed = feast.FeastComputedView(spec=feast.FeastName(name="twice"))
    registry = feast.FeastRegistry(on_demand_feature_views=[computed])
    write_repository(tmp_path, registry.SerializeToString())
    (tmp_path / "repo.py").write_text("raise SystemExit('was run')")
    found = read_feast_repository(tmp_path)
    assert [str(one) for one in found.refusals] == [
        "view twice: is computed by the repository's own code"
    ]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (spec(name="Clicks"), "name is 'Clicks'"),
        (spec(value_type=16), "none of its features"),
    ],
)
def test_a_view_whose_definition_does_not_fit_is_left_out(
    tmp_path: Path, changed: feast.FeastFeatureViewSpec, reason: str
) -> None:
    assert with_view(tmp_path / "whole", spec()).views
    found = with_view(tmp_path, changed)
    assert not found.views
    assert reason in reasons(found)[-1]


def test_a_view_without_a_time_is_refused(tmp_path: Path) -> None:
    timeless = spec()
    timeless.batch_source.timestamp_field = ""
    assert "no timestamp_field" in reasons(with_view(tmp_path, timeless))[0]


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ("project: shop\n", InvalidArgumentError, "must name a registry"),
        ("- a list\n", InvalidArgumentError, "must name a project"),
        ("project: [\n", InvalidArgumentError, "feature_store.yaml"),
        ("project: !!python/name:os.system\n", InvalidArgumentError, "python/name"),
        (
            "project: shop\nregistry: gs://bucket/registry.db\n",
            InvalidArgumentError,
            "must be a file on this machine",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: postgresql://x/y}\n",
            InvalidArgumentError,
            "must be a file on this machine",
        ),
        ("project: shop\nregistry: none.db\n", NotFoundError, "run: feast apply"),
    ],
)
def test_settings_that_name_no_registry_say_so(
    tmp_path: Path, settings: str, error: type[StepwellError], text: str
) -> None:
    with pytest.raises(error, match=text):
        read_feast_repository(write_repository(tmp_path, settings=settings))


def test_the_registry_may_be_named_with_its_kind(tmp_path: Path) -> None:
    named = "registry:\n  registry_type: file\n  path: data/registry.db\n"
    settings = SETTINGS.replace("registry: data/registry.db\n", named)
    assert read_feast_repository(write_repository(tmp_path, settings=settings)).views


def test_a_damaged_registry_is_data_loss(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match="is no Feast registry"):
        read_feast_repository(write_repository(tmp_path, b"\xff\xff\xff"))


def test_a_folder_that_is_no_repository_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"feature_store\.yaml"):
        read_feast_repository(tmp_path)
