from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.schema.feature_errors import SchemaMismatchError
from stepwell.schema.feature_registry import USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys


def test_returns_the_rows_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "state"
    activity = FeatureRow.of(USER_ACTIVITY, USER_ACTIVITY.default_row(), 7, 8)
    history = history_row(UserHistory.from_events(entity_keys("ab"), np.array([3, 9])))
    some: tuple[list[FeatureRow], ...] = (
        [history],
        [history, activity],
        [activity],
        [],
    )
    states = [(f"user {n} é", some[n % 4]) for n in range(5)]
    assert write_user_state(path, states, event_log_offset=17) == 5
    state = UserStateFile.load(path)
    assert (len(state), state.event_log_offset) == (5, 17)
    batches = list(state.batches(2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    found = {user: blob for batch in batches for user, blob in batch.items()}
    assert found == {
        user: {row.view.name: row.pack() for row in rows} for user, rows in states
    }


def test_no_users_is_a_file_too(tmp_path: Path) -> None:
    assert write_user_state(tmp_path / "state", []) == 0
    state = UserStateFile.load(tmp_path / "state")
    assert len(state) == 0
    assert list(state.batches(10)) == []


GOOD = {
    "ids_blob": np.frombuffer(b"ab", np.uint8),
    "ids_offsets": np.array([0, 1, 2]),
    "rows.v_blob": np.frombuffer(b"xyz", np.uint8),
    "rows.v_offsets": np.array([0, 1, 3]),
}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ids_offsets", np.array([0, 2]), "differ in number"),
        ("ids_offsets", np.array([0, 1, 3]), "tile"),
        ("ids_offsets", np.array([0, 2, 2], np.int32), "int64"),
        ("rows.v_offsets", np.array([0, 4, 3]), "tile"),
        ("rows.v_offsets", np.array([1, 1, 3]), "tile"),
        ("ids_offsets", np.zeros(0, np.int64), "tile"),
        ("rows.v_blob", np.zeros((3, 1), np.uint8), "vector"),
        ("state_blob", np.zeros(3, np.uint8), "state_blob is an older form"),
    ],
)
def test_refuses_tensors_that_do_not_fit(
    tmp_path: Path, name: str, value: np.ndarray, reason: str
) -> None:
    save_file(GOOD | {name: value}, tmp_path / "state")
    with pytest.raises(DataLossError, match=reason):
        UserStateFile.load(tmp_path / "state")


def test_refuses_a_file_that_is_none_or_lacks_a_tensor(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"\xff" * 100)
    save_file({"ids_blob": GOOD["ids_blob"]}, tmp_path / "lacks")
    for name in ("none", "lacks"):
        with pytest.raises(DataLossError, match=name):
            UserStateFile.load(tmp_path / name)


def test_refuses_rows_of_another_definition_of_their_view(tmp_path: Path) -> None:
    features = USER_ACTIVITY.features[:3]
    older = replace(USER_ACTIVITY, features=features)
    row = FeatureRow.of(older, older.default_row(), 7, 8)
    write_user_state(tmp_path / "state", [("a", []), ("b", [row])])
    with pytest.raises(SchemaMismatchError, match="a row of user_activity has schema"):
        UserStateFile.load(tmp_path / "state")
