"""A release with new items and changed words, made of the one before; no training.

New items get rows in every file that has rows by item: vocabulary, columns, names,
vectors of the user tower and the co-occurrence model, and the index, into whose graph
they are inserted. The models stay as they are, so the embedding space is the same, and
a delta of the two releases is small.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import InvalidArgumentError
from stepwell.features.item_columns import ITEM_COLUMNS_NAME
from stepwell.index.ann_index import HnswIndex
from stepwell.models.ranker_config import RankerConfig
from stepwell.releases.manifest import MANIFEST_NAME, Manifest
from stepwell.retrieval.artifacts import (
    CO_OCCURRENCE_FILE,
    INDEX_FILE,
    POPULAR_FILE,
    USER_TOWER_FILE,
)
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell.training.item_changes import ItemChanges
from stepwell.training.item_columns_export import ITEM_NAMES_FILE
from stepwell.training.model_card import MODEL_CARD_NAME
from stepwell.training.update_rows import (
    Places,
    RowArray,
    alike_rows,
    grown_co_occurrence,
    grown_columns,
    grown_names,
    mean_rows,
)

MAX_NEW_LISTED = 500
"""Items in the release's list of new ones, the latest first."""


@dataclass(frozen=True, slots=True)
class UpdatedRelease:
    """What an update made.

    Attributes:
        folder: to publish.
        num_new, num_changed: items that came, and known ones of which something was
            said.
        num_items: in the updated release.
        seconds: it took.
    """

    folder: Path
    num_new: int
    num_changed: int
    num_items: int
    seconds: float


def update_release(
    base: Path, manifest: Manifest, changes: ItemChanges, target: Path, now: int
) -> UpdatedRelease:
    """Writes a folder of artifacts: the base release with the changes.

    Args:
        base: the complete release; not changed.
        manifest: its own.
        changes: new and known items.
        target: folder to be; what is there gives way when the update is whole.
        now: unix seconds; when the new items came.
    Raises:
        InvalidArgumentError: there are no changes, or an id collides with another's
            key.
        DataLossError: a file of the base is damaged.
    Cost: a copy of the release, and about ef_construction * M distances a new item.
    """
    started = time.monotonic()
    if not len(changes):
        raise InvalidArgumentError("there is no item to add or to change", "items")
    folder = target.with_name(f"{target.name}.tmp")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for file in manifest.files:
        (folder / file.path).parent.mkdir(exist_ok=True)
        shutil.copyfile(base / file.path, folder / file.path)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    places = _write(folder, changes, now)
    manifest.metadata.save(folder)
    updated = UpdatedRelease(
        folder=target,
        num_new=len(places.new),
        num_changed=len(places.known),
        num_items=places.num_items + len(places.new),
        seconds=round(time.monotonic() - started, 3),
    )
    _say_in_card(folder, manifest, updated)
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
    return updated


def _write(folder: Path, changes: ItemChanges, now: int) -> Places:
    vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
    places = _places(vocabulary, changes)
    columns = load_file(folder / ITEM_COLUMNS_NAME)
    columns = grown_columns(columns, changes, places, now)
    save_file(columns, folder / ITEM_COLUMNS_NAME)
    names = load_file(folder / ITEM_NAMES_FILE)
    save_file(grown_names(names, changes, places), folder / ITEM_NAMES_FILE)
    if len(places.new):
        ids = [changes.ids[place] for place in places.new.tolist()]
        vocabulary.extended(ids).save(folder / VOCABULARY_FILE)
        config = RankerConfig.load(folder)
        finest_first = (*config.affinity_columns[::-1], *config.embedded_columns[::-1])
        alike = alike_rows(columns, places, finest_first)
        _grow_models(folder, columns, places, alike)
    return places


def _places(vocabulary: Vocabulary, changes: ItemChanges) -> Places:
    rows = vocabulary.rows_of_ids(changes.ids)
    known = np.flatnonzero(rows >= 0)
    return Places(len(vocabulary), np.flatnonzero(rows < 0), known, rows[known])


def _grow_models(
    folder: Path, columns: dict[str, Any], places: Places, alike: list[RowArray]
) -> None:
    neighbours = load_file(folder / CO_OCCURRENCE_FILE)
    neighbours = grown_co_occurrence(neighbours, columns, places)
    save_file(neighbours, folder / CO_OCCURRENCE_FILE)
    tower = load_file(folder / USER_TOWER_FILE)
    for name in ("fixed_vectors", "trained_vectors"):
        added = mean_rows(tower[name], alike)
        tower[name] = np.concatenate([tower[name], added])
    save_file(tower, folder / USER_TOWER_FILE)
    popular = load_file(folder / POPULAR_FILE)
    new_rows = places.num_items + np.arange(len(places.new), dtype=np.int32)
    before = popular.get("new_rows", np.zeros(0, np.int32))
    listed = np.concatenate([new_rows, before])[:MAX_NEW_LISTED]
    popular["new_rows"] = listed.astype(np.int32)
    save_file(popular, folder / POPULAR_FILE)
    _grow_index(folder / INDEX_FILE, new_rows.astype(np.int64), alike)


def _grow_index(path: Path, rows: RowArray, alike: list[RowArray]) -> None:
    index = HnswIndex.open(path, background=False)
    wanted = np.unique(np.concatenate(alike))
    vectors = index.vectors(wanted)
    places = [np.searchsorted(wanted, own) for own in alike]
    index.upsert(mean_rows(vectors, places), rows)
    index.save(path)


def _say_in_card(folder: Path, manifest: Manifest, updated: UpdatedRelease) -> None:
    """The card's figures are those of the training; says what came since."""
    path = folder / MODEL_CARD_NAME
    if not path.exists():
        return
    card = json.loads(path.read_bytes())
    before = card.get("updates", [])
    step = {
        "base": manifest.release_id,
        "new_items": updated.num_new,
        "changed_items": updated.num_changed,
    }
    card["updates"] = [*before, step]
    card["num_items"] = updated.num_items
    path.write_text(json.dumps(card, indent=1, allow_nan=False) + "\n")
