"""Updates: new items have their rows in every file, and all else stays as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stepwell.base.errors import InvalidArgumentError
from stepwell.features.item_columns import ItemColumns
from stepwell.index.ann_index import HnswIndex, HnswOptions
from stepwell.models.ranker_config import RankerConfig
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.two_tower_user import UserTower
from stepwell.releases.delta import DeltaCache
from stepwell.releases.manifest import Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.verification import verify_release
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell.training.import_events_report import ImportReport
from stepwell.training.item_changes import ItemChanges, read_item_changes
from stepwell.training.item_columns_export import save_item_columns
from stepwell.training.release_update import update_release
from stepwell.training.split import Snapshot
from stepwell.training.training_run import catalogue_of

KEY = SigningKey.generate()
NOW = 1_600_000_000
DIM = 17


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _artifacts(codes: np.ndarray) -> RetrievalArtifacts:
    n, space = len(codes), np.zeros(32, np.uint8)
    tower = UserTower(
        fixed_vectors=_normal(n, 8),
        trained_vectors=_normal(n, 8),
        hidden_weight=_normal(6, 8),
        hidden_bias=_normal(6),
        output_weight=_normal(8, 6),
        output_bias=_normal(8),
        gain=np.array([0.5], np.float32),
        space_hash=space,
    )
    options = HnswOptions("inner_product", space_hash=space.tobytes())
    rows = np.arange(10, dtype=np.int32)
    return RetrievalArtifacts(
        tower,
        HnswIndex.build(_normal(n, DIM), np.arange(n), options),
        CoOccurrenceModel(
            _normal(n, 4),
            _normal(n, 4),
            np.zeros((n, 3), np.int32),
            np.ones((n, 3), np.float32),
            CategoryAffinity.of_buyers(codes, np.arange(n), 0.5),
        ),
        PopularLists(
            rows,
            np.linspace(10, 1, 10, dtype=np.float32),
            rows[None],
            np.ones((1, 10), np.float32),
            rows,
            np.ones(10, np.float32),
            ("",),
            np.array([3], np.int32),
        ),
    )


@pytest.fixture
def release(known: Snapshot, tmp_path: Path) -> tuple[Path, Manifest]:
    """A published release with the rows of the snapshot's items."""
    folder = tmp_path / "trained"
    folder.mkdir()
    known.items.save(folder / VOCABULARY_FILE)
    save_item_columns(known, folder)
    catalogue = catalogue_of(known.table)
    finest = catalogue.affinity_columns[-1]
    columns = load_file(folder / "item_columns.safetensors")
    _artifacts(columns[f"category/{finest}"]).save(folder)
    affinities, embedded = catalogue.affinity_columns, catalogue.embedded_columns
    RankerConfig(affinities, embedded, "c" * 64, MODEL, MODEL).save(folder)
    (folder / "model_card.json").write_text('{"num_items": 1}')
    metadata = ReleaseMetadata(
        data_watermark_seconds=9,
        embedding_space_hash="0" * 64,
        feature_schema_hash="c" * 64,
    )
    directory = Publisher(tmp_path / "registry", KEY).publish(folder, metadata)
    return directory, verify_release(directory, KEY.verifying_key())


def _first_category(release: Path, column: str) -> str:
    columns = load_file(release / "item_columns.safetensors")
    start, end = columns[f"category_names/{column}/offsets"][1:3].tolist()
    return columns[f"category_names/{column}/bytes"].tobytes()[start:end].decode()


def _finest(known: Snapshot) -> str:
    return catalogue_of(known.table).affinity_columns[-1]


def test_new_items_have_rows_in_every_file(
    release: tuple[Path, Manifest], known: Snapshot, tmp_path: Path
) -> None:
    base, manifest = release
    finest, n = _finest(known), known.num_items
    like = _first_category(base, finest)
    changes = ItemChanges(("tea", "odd"), ("Green tea", None), {finest: (like, None)})
    updated = update_release(base, manifest, changes, tmp_path / "out", NOW)
    folder = updated.folder
    assert (updated.num_new, updated.num_changed, updated.num_items) == (2, 0, n + 2)
    assert Vocabulary.load(folder / VOCABULARY_FILE).rows_of_ids(["odd"]) == [n + 1]
    items = ItemColumns.load(folder, catalogue_of(known.table))
    assert (len(items), items.first_seen[n]) == (n + 2, NOW)
    names = load_file(folder / "item_names.safetensors")
    assert names["bytes"].tobytes().endswith(b"Green teaodd")
    loaded = RetrievalArtifacts.load(folder)
    assert loaded.popular.new_rows.tolist() == [n, n + 1, 3]
    assert loaded.co_occurrence.num_items == n + 2
    assert not loaded.co_occurrence.output_vectors[n:].any()
    assert ReleaseMetadata.load(folder) == manifest.metadata
    card = json.loads((folder / "model_card.json").read_text())
    assert card["num_items"] == n + 2
    assert card["updates"][0]["base"] == "v000001"


def test_a_new_item_lies_among_its_like(
    release: tuple[Path, Manifest], known: Snapshot, tmp_path: Path
) -> None:
    base, manifest = release
    finest, n = _finest(known), known.num_items
    like = _first_category(base, finest)
    changes = ItemChanges(("tea", "odd"), (None, None), {finest: (like, None)})
    folder = update_release(base, manifest, changes, tmp_path / "out", NOW).folder
    codes = load_file(base / "item_columns.safetensors")[f"category/{finest}"]
    before, after = RetrievalArtifacts.load(base), RetrievalArtifacts.load(folder)
    index_after, index_before = after.index, before.index
    assert isinstance(index_after, HnswIndex)
    assert isinstance(index_before, HnswIndex)
    own = np.flatnonzero(codes == 1)
    vectors = index_before.vectors(np.arange(n))
    wanted = [vectors[own].mean(axis=0), vectors[_best_sold(base)].mean(axis=0)]
    np.testing.assert_allclose(
        index_after.vectors(np.array([n, n + 1])), wanted, rtol=1e-5, atol=1e-6
    )
    trained = before.user_tower.trained_vectors
    np.testing.assert_allclose(
        after.user_tower.trained_vectors[n], trained[own].mean(axis=0), rtol=1e-5
    )
    affinity = after.co_occurrence.affinity
    assert affinity is not None
    assert affinity.codes[n] == 1
    assert affinity.lifts[n] == affinity.lifts[own].min()


def _best_sold(base: Path) -> np.ndarray:
    bought = load_file(base / "item_columns.safetensors")["number/num_buyers"]
    return np.argsort(-bought, kind="stable")[:256]


def test_rows_of_known_items_stay_but_for_what_is_said(
    release: tuple[Path, Manifest], known: Snapshot, tmp_path: Path
) -> None:
    base, manifest = release
    finest = _finest(known)
    known_id = known.items.id_of_row(7)
    said = {"price": np.array([12.5]), "num_buyers": np.array([99.0])}
    changes = ItemChanges(
        (known_id,), ("Renamed",), {finest: ("no such category",)}, said
    )
    updated = update_release(base, manifest, changes, tmp_path / "out", NOW)
    assert (updated.num_new, updated.num_changed) == (0, 1)
    before = load_file(base / "item_columns.safetensors")
    after = load_file(updated.folder / "item_columns.safetensors")
    different = {name for name in before if not _same(before[name], after[name])}
    assert different == {"number/price", f"category/{finest}"}
    assert after["number/price"][7] == 12.5
    assert after[f"category/{finest}"][7] == 0  # unknown, as it is to the models
    names = load_file(updated.folder / "item_names.safetensors")
    start, end = names["offsets"][7:9].tolist()
    assert names["bytes"].tobytes()[start:end] == b"Renamed"
    for name in ("index.hnsw", "vocabulary.safetensors", "user_tower.safetensors"):
        assert (updated.folder / name).read_bytes() == (base / name).read_bytes()


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_an_update_is_a_small_delta_that_makes_the_same_files(
    release: tuple[Path, Manifest], tmp_path: Path
) -> None:
    base, manifest = release
    changes = ItemChanges(("tea",), ("Green tea",))
    folder = update_release(base, manifest, changes, tmp_path / "out", NOW).folder
    metadata = ReleaseMetadata.load(folder)
    publisher = Publisher(base.parent, KEY)
    directory = publisher.publish(folder, metadata, base=1)
    made = verify_release(directory, KEY.verifying_key())
    assert made.stored_bytes < 0.3 * made.total_bytes
    complete = DeltaCache(tmp_path / "cache").complete(directory, made)
    for file in made.files:
        assert (complete / file.path).read_bytes() == (folder / file.path).read_bytes()


def test_the_last_update_stays_when_the_next_one_fails(
    release: tuple[Path, Manifest], tmp_path: Path
) -> None:
    base, manifest = release
    out = tmp_path / "out"
    update_release(base, manifest, ItemChanges(("tea",), (None,)), out, NOW)
    before = (out / "index.hnsw").read_bytes()
    (base / "index.hnsw").write_bytes(b"damaged")
    with pytest.raises(Exception, match="index"):
        update_release(base, manifest, ItemChanges(("rum",), (None,)), out, NOW)
    assert (out / "index.hnsw").read_bytes() == before
    with pytest.raises(InvalidArgumentError, match="no item to add"):
        update_release(base, manifest, ItemChanges((), ()), out, NOW)


def test_a_table_of_items_is_read_with_its_bad_rows_counted(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(
        "item_id,name,type,price\ntea,Green tea,HOT,2.5\n,lost,,\ntea,twice,,\nrum,,,\n"
    )
    report = ImportReport()
    changes = read_item_changes(path, report)
    assert changes.ids == ("tea", "rum")
    assert changes.names == ("Green tea", None)
    assert changes.categories["type"] == ("HOT", None)
    assert "type" not in changes.numbers
    np.testing.assert_array_equal(changes.numbers["price"], [2.5, np.nan])
    assert report.num_refused == 2


def test_a_table_without_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("name,price\ntea,1\n")
    with pytest.raises(InvalidArgumentError, match="item_id"):
        read_item_changes(path, ImportReport())
