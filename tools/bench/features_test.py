"""The verdicts of benchmark `features` on figures as they are measured."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from bench.features import measure
from bench.features_feast import feast_p99_ms, feast_program
from bench.features_quality import rows_of as quality_rows_of
from bench.features_read import (
    HISTORY_ITEMS,
    LMDB,
    QUICK,
    REDIS,
    rows_of,
    users_of_length,
)
from bench.features_replay import rows_of as replay_rows_of
from bench.features_rows import rows_of as training_rows_of
from bench.features_visible import BATCH, RATE, Visible, World
from bench.features_visible import rows_of as visible_rows_of
from bench.serving_sequential import Samples
from log_replayer import ReplayReport
from project_state import ProjectState
from stepwell.base.errors import NotFoundError, UnavailableError
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys
from stepwell.training.evaluate import QualityReport
from stepwell.training.model_card import TierFigures
from stepwell.training.quality_metrics import ListQuality, Mean

WORLD = World(users=["ann", "bob"], items=["milk", "tea", "rye"], now=1_500_000_000)


def read_in(milliseconds: float) -> Samples:
    return Samples(stage_ms={"hydrate": [milliseconds] * 100})


def test_without_a_release_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="stepwell demo --data generated --exit"):
        measure(state=ProjectState(tmp_path, "generated"))


@pytest.mark.parametrize(("store", "limit_ms"), [(LMDB, 0.3), (REDIS, 1.0)])
def test_a_read_is_judged_by_the_store_it_is_of(store: str, limit_ms: float) -> None:
    assert rows_of(store, read_in(limit_ms), QUICK)[0].holds
    assert not rows_of(store, read_in(limit_ms + 0.01), QUICK)[0].holds


def test_readers_are_the_users_whose_history_is_nearest_in_length(
    tmp_path: Path,
) -> None:
    lengths = {"short": 3, "near": HISTORY_ITEMS + 2, "long": 400, "same": 100}
    path = tmp_path / "state.safetensors"
    write_user_state(
        path, ((user, [history_row(_history(n))]) for user, n in lengths.items())
    )
    state = UserStateFile.load(path)
    assert users_of_length(state, HISTORY_ITEMS, 2) == ["same", "near"]


def _history(num_items: int) -> UserHistory:
    keys = entity_keys(f"item-{n}" for n in range(num_items))
    return UserHistory.from_events(keys, keys.astype("int64") % 1_000 + 1)


def test_visible_late_or_too_few_events_sent_do_not_hold() -> None:
    whole = Visible(probes_ms=[400.0] * 50, num_events=10 * RATE, seconds=10.0)
    assert all(row.holds for row in visible_rows_of(whole))
    late = Visible([400.0] * 40 + [1_200.0] * 10, 10 * RATE, 10.0)
    assert [row.holds for row in visible_rows_of(late)] == [False, True, True]
    slow = Visible([400.0] * 50, 9 * RATE, 10.0)
    assert [row.holds for row in visible_rows_of(slow)] == [True, True, False]


def test_no_two_batches_share_an_event_and_a_probe_is_a_user_of_its_own() -> None:
    events = [event for number in range(3) for event in WORLD.batch(number)]
    assert len({event.event_id for event in events}) == 3 * BATCH
    assert WORLD.batch(1) == WORLD.batch(1)
    assert WORLD.probe(1).user_id not in WORLD.users
    assert WORLD.probe(1).user_id != WORLD.probe(2).user_id


@pytest.mark.parametrize(("new_user", "holds"), [(0.199, True), (0.189, False)])
def test_a_new_user_is_to_be_served_no_worse_than_by_the_popular_list(
    new_user: float, holds: bool
) -> None:
    found = {
        "full": _worth(0.45),
        "full_stale": _worth(0.25),
        "popular_new_user": _worth(0.2),
        "full_new_user": _worth(new_user),
        "reduced_new_user": _worth(0.1),
    }
    rows = quality_rows_of(found, num_users=9)
    assert [row.ours for row in rows] == [0.45, 0.25, new_user]
    assert [row.holds for row in rows] == [True, True, holds]
    assert rows[1].also["of fresh"] == pytest.approx(0.556)


def _worth(ndcg: float) -> TierFigures:
    quality = QualityReport(
        **dict.fromkeys((f.name for f in fields(QualityReport)), None),  # type: ignore[arg-type]
    )
    worth = ListQuality(1, 1, Mean(ndcg, 0.02), *[Mean(0.0, 0.0)] * 3)
    return TierFigures(replace(quality, all=worth), np.zeros(1, np.int64))


def test_feast_is_found_only_in_an_environment_of_its_own(tmp_path: Path) -> None:
    assert feast_program(tmp_path) is None
    program = tmp_path / ".venv-feast" / "bin" / "feast"
    program.parent.mkdir(parents=True)
    program.touch()
    assert feast_program(tmp_path) == program
    (program.parent / "feast").write_text("#!/bin/sh\necho no such view; exit 3\n")
    program.chmod(0o755)
    with pytest.raises(UnavailableError, match="feast apply failed: no such view"):
        feast_p99_ms(program, 1)


def test_a_leaked_row_or_another_one_than_the_oracles_does_not_hold() -> None:
    check = {"num_entities": 9, "num_rows": 90, "num_leaked": 0, "num_different": 0}
    said = {"num_rows": 1_000, "seconds": 60.0, "peak_bytes": 1 << 31}
    right = {**said, "checked": {"user_history": check}}
    assert [row.ours for row in training_rows_of(right)] == [60.0, 2.0, 0.0, 0]
    assert all(row.holds for row in training_rows_of(right))
    leaked = {**said, "checked": {"user_history": {**check, "num_leaked": 1}}}
    other = {**said, "checked": {"user_history": {**check, "num_different": 1}}}
    slow = {**right, "seconds": 181.0, "peak_bytes": 5 << 30}
    for wrong, places in ((leaked, [2]), (other, [3]), (slow, [0, 1])):
        rows = training_rows_of(wrong)
        assert [n for n, row in enumerate(rows) if not row.holds] == places


def test_a_request_that_could_not_be_repeated_proves_nothing() -> None:
    whole = ReplayReport(num_same=100, num_features=9_000)
    assert all(row.holds for row in replay_rows_of(whole, 100))
    missing = ReplayReport(num_same=99)
    assert [row.holds for row in replay_rows_of(missing, 100)] == [True, False]
    differing = ReplayReport(num_same=99, num_different=1)
    assert [row.holds for row in replay_rows_of(differing, 100)] == [False, True]
