"""State from training is the base on which the log is folded again."""

from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import UnavailableError
from stepwell.feedback.updater_fixture import DAY, history_of, purchase, updater_of
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_key, entity_keys
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog


def test_imported_state_is_the_base_on_which_the_log_is_folded_again(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    updater = updater_of(log, store)
    log.append([purchase(1, "u", "milk", 9 * DAY), purchase(2, "new", "tea", 9 * DAY)])
    updater.catch_up()
    base = UserHistory.from_events(
        entity_keys(["milk", "bread"]), np.array([DAY, 2 * DAY])
    )
    path = tmp_path / "user_state.safetensors"
    assert write_user_state(path, [("u", [history_row(base)]), ("other", [])]) == 2
    told: list[int] = []
    assert import_user_state(UserStateFile.load(path), store, told.append) == 2
    assert told == [2]
    updater.catch_up()
    expected = base.applied(entity_key("milk"), 9 * DAY, 2.5)
    assert history_of(store, "u").pack() == expected.pack()
    assert len(history_of(store, "other")) == 0
    # A user the file does not know keeps its event, and it counts once.
    assert history_of(store, "new").num_events == 1


def test_a_user_whom_an_import_does_not_know_has_each_event_once_also_in_many_steps(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    updater = updater_of(log, store)
    log.append([purchase(n, "new", "tea", n * DAY) for n in range(1, 21)])
    updater.catch_up()
    before = history_of(store, "new").pack()
    path = tmp_path / "user_state.safetensors"
    write_user_state(path, [("other", [])])
    import_user_state(UserStateFile.load(path), store)
    assert updater.catch_up() == 20
    assert history_of(store, "new").pack() == before


def test_an_import_that_knows_part_of_the_log_is_not_given_it_again(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    log.append([purchase(n, "u", "milk", n * DAY) for n in (1, 2, 3)])
    base = UserHistory.from_events(entity_keys(["milk"] * 2), np.array([DAY, 2 * DAY]))
    path = tmp_path / "user_state.safetensors"
    write_user_state(path, [("u", [history_row(base)])], event_log_offset=2)
    import_user_state(UserStateFile.load(path), store)
    updater_of(log, store).catch_up()
    assert history_of(store, "u").num_events == 3


def test_of_two_imports_at_once_the_one_that_is_overtaken_says_so(
    store: KeyValueStore, tmp_path: Path
) -> None:
    path = tmp_path / "user_state.safetensors"
    write_user_state(path, [(f"u{n}", []) for n in range(300)])
    state = UserStateFile.load(path)
    told: list[int] = []

    def once(number: int) -> None:
        if not told:
            told.append(number)
            assert import_user_state(state, store) == 300

    with pytest.raises(UnavailableError, match="another import"):
        import_user_state(state, store, once)


def test_an_updater_waits_while_state_is_being_replaced(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    log.append([purchase(1, "u", "milk", DAY)])
    updater = updater_of(log, store)
    path = tmp_path / "user_state.safetensors"
    write_user_state(path, [(f"u{n}", []) for n in range(3)])
    seen: list[tuple[int, int | None]] = []

    def during(number: int) -> None:
        seen.append((updater.catch_up(), updater.next_offset()))

    import_user_state(UserStateFile.load(path), store, during)
    assert seen == [(0, None)]
    assert updater.catch_up() == 1
