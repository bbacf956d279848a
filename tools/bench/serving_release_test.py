"""The generated release is whole, is made once, and the peer's files fit it."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench.serving_peer_files import PeerFiles, PeerUser, peer_users
from bench.serving_release import BenchRelease, bench_release
from bench.serving_spec import ReleaseSpec
from stepwell.base.metrics import Metrics
from stepwell.releases.loader import Loader, trusted_key
from stepwell.serving.engine_builder import EngineBuilder
from stepwell.serving.event_clock import EventClock
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

TINY = ReleaseSpec(
    num_items=2_000,
    num_tables=4,
    num_rows=300,
    bottom_widths=(32, 16),
    top_widths=(24,),
    num_users=20,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BenchRelease:
    return bench_release(tmp_path_factory.mktemp("root"), TINY)


def test_an_engine_answers_from_it(made: BenchRelease, tmp_path: Path) -> None:
    store, clock = LmdbKeyValueStore(tmp_path), EventClock(follows_releases=True)
    builder = EngineBuilder(store, clock, Metrics())
    loader = Loader(trusted_key(made.state.registry, None), builder.build)
    # Building warms up: every tier answers users of all kinds.
    loader.load(made.release)
    store.close()


def test_is_made_once(made: BenchRelease) -> None:
    manifest = made.release / "manifest.json"
    before = manifest.stat().st_mtime_ns
    again = bench_release(made.state.root, TINY)
    assert again == made
    assert manifest.stat().st_mtime_ns == before


def test_the_peers_columns_are_our_items_standardised(made: BenchRelease) -> None:
    items = load_file(PeerFiles.of(made).items)
    assert items["dense"].shape == (TINY.num_items, 13)
    assert items["sparse"].shape == (TINY.num_items, TINY.num_tables)
    item_part = items["dense"][:, 4:]
    assert np.abs(item_part.mean(axis=0)).max() < 0.2
    assert item_part.std(axis=0) == pytest.approx(np.ones(9), abs=0.3)


def test_a_peers_user_survives_its_blob(made: BenchRelease) -> None:
    users = {name: blob for batch in peer_users(made) for name, blob in batch.items()}
    assert len(users) == TINY.num_users
    user = PeerUser.unpack(users["user-000003"])
    assert user.vector.shape == (TINY.dim,)
    assert np.isfinite(user.dense).all()
    assert user.segment_row == 4
    assert user.pack() == users["user-000003"]
