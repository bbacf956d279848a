"""The whole run on a small generated set, and the card it writes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.features.baselines import Baselines
from stepwell.features.catalogue import catalogue_for
from stepwell.features.item_columns import ItemColumns
from stepwell.features.skew_profile import FeatureProfile
from stepwell.features.view_features import RANKER_VIEWS
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.models.ranker_config import RankerConfig
from stepwell.ranking.model_scorer import ModelScorer
from stepwell.ranking.reduced_scorer import load_reduced_scorer
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.schema.events import EventType, history_types_of
from stepwell.schema.feature_registry import USER_PROFILE
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary, entity_key
from stepwell.training.co_occurrence import CoOccurrenceOptions
from stepwell.training.conftest import SMALL
from stepwell.training.datasets_generated import write_generated
from stepwell.training.distill import DistillOptions
from stepwell.training.evaluate import Evaluation, evaluate
from stepwell.training.model_card import MODEL_CARD_NAME, TierFigures, cost_summary
from stepwell.training.ranker_trainer import TrainerOptions
from stepwell.training.ranker_training import RankerTraining
from stepwell.training.retrieval_training import AS_OF
from stepwell.training.training_config import QUICK, TrainingConfig
from stepwell.training.training_run import (
    Progress,
    RunOptions,
    TrainedRelease,
    run_training,
)

RETRIEVAL = replace(
    AS_OF, co_occurrence=CoOccurrenceOptions(regularisation=20.0, rank=16)
)
TINY = TrainingConfig(
    retrieval=RETRIEVAL,
    as_of=RETRIEVAL,
    num_snapshots=1,
    period_days=21,
    ranker=RankerTraining(
        bottom_widths=(16,), trainer=TrainerOptions(epochs=2, queries_per_step=8)
    ),
    distill=DistillOptions(num_requests=80, trainer=TrainerOptions(epochs=2)),
    preset="tiny",
)


def _popular(
    folder: Path, held_out: Evaluation, progress: Progress
) -> Mapping[str, TierFigures]:
    """Scores the popular list, straight from the artifacts; in place of models too."""
    rows = RetrievalArtifacts.load(folder).popular.popular(0, 500).rows
    report = evaluate(lambda *_: rows, held_out, None, progress)
    return {
        "popular": TierFigures(report, report.call_us),
        "full": TierFigures(report, np.array([100, 300, 500])),
        "reduced": TierFigures(report, np.array([0, 60, 9_000])),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRelease:
    folder = Path(tmp_path_factory.mktemp("run"))
    (folder / "data").mkdir()
    write_generated(folder / "data", SMALL)
    options = RunOptions(measure_tiers=_popular)
    return run_training(folder / "data", folder / "out", TINY, options)


def test_the_release_says_how_its_features_are_distributed(
    trained: TrainedRelease,
) -> None:
    profile = FeatureProfile.load(trained.folder)
    config = RankerConfig.load(trained.folder)
    assert profile is not None
    assert profile.schema_hash == config.feature_schema_hash
    assert profile.names == catalogue_for(config).dense_names
    assert 10 < profile.num_requests <= SMALL.num_users
    # The best of a request are what its user knows, more often than all candidates.
    known = profile.names.index("own_is")
    assert profile.shares[known][-2] > 0.2


def test_the_folder_serves(trained: TrainedRelease) -> None:
    folder = trained.folder
    config = RankerConfig.load(folder)
    catalogue = catalogue_for(config)
    assert catalogue.views == RANKER_VIEWS
    names = (catalogue.dense_names, catalogue.sparse_names)
    ModelScorer.load(folder, *names)
    load_reduced_scorer(folder, *names)
    RetrievalArtifacts.load(folder)
    vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
    assert len(vocabulary) == len(ItemColumns.load(folder, catalogue))


def test_metadata_names_watermark_space_and_schema(trained: TrainedRelease) -> None:
    metadata = ReleaseMetadata.load(trained.folder)
    assert metadata.data_watermark_seconds == trained.card["cuts"]["release_cut"]
    space = RetrievalArtifacts.load(trained.folder).space_hash.hex()
    assert metadata.embedding_space_hash == space
    assert set(metadata.embedding_spaces.values()) == {space}
    config = RankerConfig.load(trained.folder)
    assert metadata.feature_schema_hash == config.feature_schema_hash
    assert history_types_of(metadata.models) == {EventType.PURCHASE}


def test_user_state_lies_beside_the_release(trained: TrainedRelease) -> None:
    state = UserStateFile.load(trained.folder.parent / USER_STATE_NAME)
    assert len(state) == trained.card["num_users"]
    for rows in next(state.batches(10)).values():
        assert {"user_history", "user_activity"} <= set(rows)


def test_a_release_keeps_what_is_typical_of_each_segment(
    trained: TrainedRelease,
) -> None:
    names = RetrievalArtifacts.load(trained.folder).popular.segment_names
    kept = Baselines.load(trained.folder, [USER_PROFILE], len(names))
    for segment_row, name in list(enumerate(names))[1:]:
        row = kept.row(USER_PROFILE.name, segment_row)
        assert row["segment"] == entity_key(f"segment={name}")


def test_the_card_on_disk_is_plain_json(trained: TrainedRelease) -> None:
    card = json.loads((trained.folder / MODEL_CARD_NAME).read_text())
    assert card == json.loads(json.dumps(trained.card))
    assert card["preset"] == "tiny"
    assert card["quality"]["popular"]["ndcg_at_10"] > 0
    assert set(card["cost_us"]["popular"]) == {"mean", "p50", "p95", "p99"}
    assert card["reduced"] == {"ndcg_kept": 1.0, "cost": 0.2}
    assert 0.5 < card["reduced_agreement"] <= 1
    assert card["calibration_on_training_rows"] > 0


def test_a_second_run_replaces_the_first(trained: TrainedRelease) -> None:
    out = trained.folder.parent
    before = (trained.folder / "full_ranker.safetensors").read_bytes()
    (trained.folder / "leftover").write_text("of the first run")
    again = run_training(out.parent / "data", out, TINY)
    assert again.folder == trained.folder
    assert not (again.folder / "leftover").exists()
    assert not (out / "trained.tmp").exists()
    # Same data, same seeds, checkpoints taken up: the same weights.
    assert (again.folder / "full_ranker.safetensors").read_bytes() == before
    assert again.card["quality"] == {}


def test_import_report_comes_along(trained: TrainedRelease) -> None:
    assert any("0 refused" in line for line in trained.import_lines)


def test_costs_of_nothing_are_zero() -> None:
    assert cost_summary(np.zeros(0, np.int64)) == dict.fromkeys(
        ("mean", "p50", "p95", "p99"), 0
    )
    assert cost_summary(np.array([100, 300]))["mean"] == 200


def test_one_seed_reaches_every_part() -> None:
    config = QUICK.seeded(11)
    assert config.retrieval.two_tower.seed == config.rows.seed == 11
    assert config.ranker.trainer.seed == config.distill.trainer.seed == 11
    with pytest.raises(InvalidArgumentError, match="seed is -1"):
        QUICK.seeded(-1)


def test_a_run_with_a_cross_network_serves_too(
    trained: TrainedRelease, tmp_path: Path
) -> None:
    data = trained.folder.parent.parent / "data"
    crossed = run_training(data, tmp_path, TINY.with_interaction("cross"))
    config = RankerConfig.load(crossed.folder)
    assert config.full.interaction == "cross"
    assert config.reduced.interaction == "dot"
    catalogue = catalogue_for(config)
    ModelScorer.load(crossed.folder, catalogue.dense_names, catalogue.sparse_names)


def test_refuses_settings_out_of_range() -> None:
    with pytest.raises(InvalidArgumentError, match="num_snapshots is 0"):
        replace(QUICK, num_snapshots=0)
    with pytest.raises(InvalidArgumentError, match="period_days is 0"):
        replace(QUICK, period_days=0)
    with pytest.raises(InvalidArgumentError, match="interaction is 'sum'"):
        QUICK.with_interaction("sum")
