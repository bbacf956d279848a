"""The read that is timed is a whole one: nothing of it is a default."""

from contextlib import closing
from pathlib import Path

from bench.features_read_alone import HISTORY_ITEMS, times_us, user_read
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


def test_every_read_that_is_timed_finds_all_views_fresh(tmp_path: Path) -> None:
    with closing(LmdbKeyValueStore(tmp_path)) as store:
        read = user_read(store)
        user = read(7)
        assert len(user.history) == HISTORY_ITEMS
        assert (user.history_rows >= 0).all()
        assert user.rows.keys() == {"user_activity", "user_profile"}
        assert user.defaulted == user.stale == ()
        assert len(times_us(read, 3)) == 3
