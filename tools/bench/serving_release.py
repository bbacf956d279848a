"""The generated release of benchmark `serving`, made once, signed and published.

A catalogue of clustered vectors under a graph index, category columns that each have a
table in a DLRM of random weights, users with a few tastes. Speed depends on the shapes
and on how vectors lie to each other, not on what weights were trained to say. Our
ranker and the peer serve these very files.

Letters: N items, D dimension, T tables.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import Progress
from safetensors.numpy import save_file

from bench.retrieval_data import NUM_CLUSTERS, clustered_chunks, unit_norm
from bench.serving_rankers import save_rankers
from bench.serving_spec import SEED, ReleaseSpec, catalogue
from bench.serving_users import NUM_SEGMENTS, generated_users, segment_name
from project_state import ProjectState
from stepwell.feedback.user_state_file import USER_STATE_NAME, write_user_state
from stepwell.index.ann_index import HnswIndex
from stepwell.index.options import HnswOptions
from stepwell.models.two_tower_user import UserTower
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.retrieval.artifacts import (
    CO_OCCURRENCE_FILE,
    INDEX_FILE,
    POPULAR_FILE,
    USER_TOWER_FILE,
)
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.events import EventType, history_config
from stepwell.schema.history_row import history_row
from stepwell.schema.vocabulary import Vocabulary

GENERATOR_VERSION = 3
"""Raised with every change of what is generated: older folders are made anew."""

WATERMARK = 1_511_654_400
M, EF_CONSTRUCTION = 16, 200
_FIXED_DIM_SHARE = 5, 8
_GAIN = 0.5
_POPULAR = 2_000
_SEGMENT_POPULAR = 500
_NUM_NEIGHBOURS = 8
_DAY_SECONDS = 86_400
_SPEC_FILE = "spec.json"

Floats = npt.NDArray[np.float32]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class BenchRelease:
    """A published generated release.

    Attributes:
        state: its folders; the online store there is not filled.
        release: directory of the published release.
        user_state: the users' histories.
        spec: its sizes.
    """

    state: ProjectState
    release: Path
    user_state: Path
    spec: ReleaseSpec


def bench_release(
    root: Path, spec: ReleaseSpec, progress: Progress | None = None
) -> BenchRelease:
    """Returns the release below `root`/.stepwell, made unless it is there.

    Args:
        root: of the project.
        spec: sizes; another one has another folder.
        progress: shows how far the making is.
    Cost: about a minute and 0.8 GB of disk at the default sizes, once.
    """
    name = "bench-serving" if spec == ReleaseSpec() else f"bench-{spec.num_items}"
    state = ProjectState(root, name)
    user_state = state.training / USER_STATE_NAME
    if not _is_made(state, spec):
        shutil.rmtree(state.folder, ignore_errors=True)
        state.training.mkdir(parents=True)
        _make(state, spec, _steps(progress))
        (state.folder / _SPEC_FILE).write_text(_fingerprint(spec))
    release = DirectorySource(state.registry).versions()[-1].directory
    return BenchRelease(state, release, user_state, spec)


def _is_made(state: ProjectState, spec: ReleaseSpec) -> bool:
    path = state.folder / _SPEC_FILE
    return path.exists() and path.read_text() == _fingerprint(spec)


def _fingerprint(spec: ReleaseSpec) -> str:
    facts = {"version": GENERATOR_VERSION, "schema": catalogue(spec).schema_hash()}
    return json.dumps({**facts, **asdict(spec)})


def _steps(progress: Progress | None) -> Callable[[str, int, int], None]:
    """Returns what shows (what, done, of)."""
    if progress is None:
        return lambda _what, _done, _total: None
    bar = progress.add_task("release", total=1)

    def show(what: str, done: int, total: int) -> None:
        progress.update(bar, description=what, completed=done, total=total)

    return show


def _make(
    state: ProjectState, spec: ReleaseSpec, show: Callable[[str, int, int], None]
) -> None:
    folder = state.training / "trained"
    folder.mkdir()
    random = np.random.default_rng(SEED)
    vocabulary = Vocabulary.build([f"item-{n:07d}" for n in range(spec.num_items)])
    vocabulary.save(folder / "vocabulary.safetensors")
    popularity = _popularity(spec.num_items, random)
    space = _save_vectors(folder, spec, popularity, show)
    show("columns", 0, 1)
    columns = _item_columns(spec, popularity, random)
    save_file(columns, folder / "item_columns.safetensors")
    _save_names(folder, spec.num_items)
    _popular_lists(popularity, random).save(folder / POPULAR_FILE)
    _neighbours(spec.num_items, random).save(folder / CO_OCCURRENCE_FILE)
    show("rankers", 0, 1)
    save_rankers(folder, spec, columns)
    users = generated_users(vocabulary.keys, spec.num_users, WATERMARK, NUM_CLUSTERS)
    write_user_state(
        state.training / USER_STATE_NAME,
        ((user_id, [history_row(history)]) for user_id, history in users),
    )
    show("publish", 0, 1)
    metadata = ReleaseMetadata(
        data_watermark_seconds=WATERMARK,
        embedding_space_hash=space.hex(),
        feature_schema_hash=catalogue(spec).schema_hash(),
        embedding_spaces={INDEX_FILE: space.hex(), USER_TOWER_FILE: space.hex()},
        models={"user_history": history_config([EventType.PURCHASE])},
    )
    key = SigningKey.load_or_create(state.signing_key)
    Publisher(state.registry, key).publish(folder, metadata)
    shutil.rmtree(folder)
    show("publish", 1, 1)


def _popularity(num_items: int, random: np.random.Generator) -> Floats:
    """Distinct buyers by item: a long tail in random order."""
    buyers = 50_000.0 / (np.arange(num_items) + 10.0)
    return random.permutation(buyers).astype(np.float32)


def _save_vectors(
    folder: Path,
    spec: ReleaseSpec,
    popularity: Floats,
    show: Callable[[str, int, int], None],
) -> bytes:
    """Writes the user tower and the index; returns the hash of their space."""
    vectors = np.concatenate(list(clustered_chunks(spec.num_items, spec.dim)))
    part, whole = _FIXED_DIM_SHARE
    num_fixed = spec.dim * part // whole
    fixed = unit_norm(vectors[:, :num_fixed])
    trained = unit_norm(vectors[:, num_fixed : spec.dim - 1])
    lift = np.log1p(popularity)[:, None] * np.float32(0.05)
    items = np.ascontiguousarray(np.hstack([fixed, trained, lift]), np.float32)
    random = np.random.default_rng(SEED + 1)
    num_trained, hidden = trained.shape[1], 64
    tower = UserTower(
        fixed_vectors=fixed,
        trained_vectors=trained,
        hidden_weight=_normal(random, (hidden, num_trained), 0.05),
        hidden_bias=np.zeros(hidden, np.float32),
        output_weight=_normal(random, (num_trained, hidden), 0.05),
        output_bias=np.zeros(num_trained, np.float32),
        gain=np.array([_GAIN], np.float32),
        space_hash=np.frombuffer(random.bytes(32), np.uint8),
    )
    tower.save(folder / USER_TOWER_FILE)
    space = tower.space_hash.tobytes()
    options = HnswOptions(
        "inner_product", M, EF_CONSTRUCTION, space_hash=space, codes="bfloat16"
    )
    index = HnswIndex.build(
        items,
        np.arange(len(items)),
        options,
        progress=lambda done, total: show("index", done, total),
    )
    index.save(folder / INDEX_FILE)
    return space


def _normal(random: np.random.Generator, shape: tuple[int, ...], by: float) -> Floats:
    return random.standard_normal(shape, np.float32) * np.float32(by)


def _item_columns(
    spec: ReleaseSpec, buyers: Floats, random: np.random.Generator
) -> Columns:
    """What a release says of its items: T - 1 categories, numbers, times."""
    count = spec.num_items

    def noisy(share: float) -> Floats:
        return buyers * random.uniform(0.5 * share, share, count).astype(np.float32)

    columns: Columns = {
        f"category/{name}": random.integers(1, spec.num_rows, count, np.int32)
        for name in spec.category_names
    }
    numbers: Columns = {
        "num_events": buyers * 2,
        "num_buyers": buyers,
        "buyers_7d": noisy(0.05),
        "buyers_28d": noisy(0.2),
        "buyers_84d": noisy(0.6),
        "decayed_7d": noisy(0.1),
        "decayed_21d": noisy(0.3),
        "decayed_60d": noisy(0.8),
        "decayed_120d": noisy(1.4),
        "repeat_share": random.uniform(0, 0.6, count),
        "mean_interval_days": random.uniform(3, 60, count),
        "price": random.lognormal(1.0, 0.7, count),
    }
    columns |= {f"number/{n}": v.astype(np.float32) for n, v in numbers.items()}
    days = random.integers(100, 700, count)
    columns["time/first_seen"] = WATERMARK - days * _DAY_SECONDS
    columns["time/last_seen"] = WATERMARK - days // 20 * _DAY_SECONDS
    return columns


def _save_names(folder: Path, num_items: int) -> None:
    names = [f"Item {n}".encode() for n in range(num_items)]
    offsets = np.cumsum([0, *map(len, names)], dtype=np.int64)
    blob = np.frombuffer(b"".join(names), np.uint8)
    save_file({"bytes": blob, "offsets": offsets}, folder / "item_names.safetensors")


def _popular_lists(buyers: Floats, random: np.random.Generator) -> PopularLists:
    order = np.argsort(-buyers, kind="stable").astype(np.int32)
    best, scores = order[:_POPULAR], buyers[order[:_POPULAR]] / buyers.max()
    held = min(_SEGMENT_POPULAR, len(best))
    chosen = np.stack(
        [np.sort(random.permutation(len(best))[:held]) for _ in range(NUM_SEGMENTS)]
    )
    chosen = np.vstack([np.arange(held), chosen])
    names = tuple(segment_name(n) for n in range(1, NUM_SEGMENTS + 1))
    return PopularLists(
        global_rows=best,
        global_scores=scores,
        segment_rows=best[chosen],
        segment_scores=scores[chosen],
        trending_rows=best[::-1].copy(),
        trending_scores=scores,
        segment_names=("", *names),
    )


def _neighbours(num_items: int, random: np.random.Generator) -> CoOccurrenceModel:
    """A whole release has one; the benchmark's plans do not ask for it."""
    shape = num_items, _NUM_NEIGHBOURS
    none = np.zeros((num_items, 0), np.float32)
    rows = random.integers(0, num_items, shape).astype(np.int32)
    weights = random.uniform(0, 0.2, shape).astype(np.float32)
    return CoOccurrenceModel(none, none, rows, weights)
