"""The protocol: who is asked, what counts, what is exported."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stepwell.schema.vocabulary import RowArray
from stepwell.training.evaluate import LIST_LENGTH, Evaluation, Recommend, evaluate
from stepwell.training.split import Snapshot


@pytest.fixture(scope="module")
def held_out(known: Snapshot) -> Evaluation:
    return Evaluation.of(known, int(known.table.times[-1]) + 1)


def _oracle(held_out: Evaluation) -> Recommend:
    """Knows the future: the targets of the user first."""

    def recommend(user_id: str, event_time: int, k: int) -> RowArray:
        user = int(held_out.known.table.users.rows_of_ids([user_id])[0])
        wanted = held_out.targets.items_of(user).astype(np.int64)
        others = np.setdiff1d(np.arange(held_out.known.num_items), wanted)
        return np.concatenate([wanted, others])[:k]

    return recommend


def test_an_oracle_is_perfect(held_out: Evaluation) -> None:
    report = evaluate(_oracle(held_out), held_out)
    assert report.all.ndcg_at_10.value == pytest.approx(1.0)
    assert report.all.recall_at_500.value == pytest.approx(1.0)
    assert report.new.ndcg_at_10.value == pytest.approx(1.0)
    assert report.all.num_users == len(held_out.user_rows)
    assert report.all.num_targets == len(held_out.targets.item_rows)
    assert report.new.num_targets == int(held_out.targets.is_new.sum())


def test_what_is_known_is_taken_out_before_new_items_are_scored(
    held_out: Evaluation,
) -> None:
    known = held_out.known

    def known_first(user_id: str, event_time: int, k: int) -> RowArray:
        user = int(known.table.users.rows_of_ids([user_id])[0])
        own = known.pairs.items_of(user).astype(np.int64)
        fresh = held_out.targets.items_of(user, only_new=True).astype(np.int64)
        return np.concatenate([own, fresh])

    report = evaluate(known_first, held_out)
    assert report.new.ndcg_at_10.value == pytest.approx(1.0)
    assert report.all.ndcg_at_10.value < 0.9


def test_asks_as_of_the_cut_for_the_whole_list(held_out: Evaluation) -> None:
    asked: set[tuple[int, int]] = set()

    def recommend(user_id: str, event_time: int, k: int) -> RowArray:
        asked.add((event_time, k))
        return np.zeros(0, np.int64)

    report = evaluate(recommend, held_out)
    assert asked == {(held_out.known.cut_time, LIST_LENGTH)}
    assert report.all.hit_rate_at_10.value == 0.0
    assert report.coverage == report.novelty == 0.0
    assert len(report.call_us) == len(held_out.user_rows)


def test_everybody_who_is_asked_has_a_past_and_a_target(held_out: Evaluation) -> None:
    for user in held_out.user_rows.tolist():
        assert held_out.known.num_user_events[user] > 0
        assert len(held_out.targets.items_of(user)) > 0


def test_a_sample_of_users_is_every_nth(known: Snapshot, held_out: Evaluation) -> None:
    sample = Evaluation.of(known, held_out.end_time, max_users=20)
    assert 0 < len(sample.user_rows) <= 20
    assert set(sample.user_rows) <= set(held_out.user_rows)


def test_exported_lists_can_be_scored_by_anybody(
    held_out: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "lists.parquet"
    evaluate(_oracle(held_out), held_out, export=path)
    frame = pl.read_parquet(path)
    assert frame.columns == ["user", "item", "rank"]
    users = held_out.known.table.users
    first = users.id_of_row(int(held_out.user_rows[0]))
    own = frame.filter(pl.col("user") == first).sort("rank")
    assert own["rank"].to_list() == list(range(1, len(own) + 1))
    wanted = held_out.targets.items_of(int(held_out.user_rows[0]))
    ids = held_out.known.items.ids_of_rows(wanted)
    assert own["item"].to_list()[: len(ids)] == ids


def test_summary_holds_what_the_protocol_asks_for(held_out: Evaluation) -> None:
    summary = evaluate(_oracle(held_out), held_out).summary()
    assert {"ndcg_at_10", "ndcg_at_10_new", "recall_at_500", "recall_at_500_new"} <= (
        set(summary)
    )
    assert 0 <= summary["num_new_item_targets"] <= summary["num_targets"]
    assert 0.0 <= summary["recall_at_500_new_items"] <= 1.0
    assert sum(summary["exposure_at_10"]["department"].values()) == pytest.approx(1.0)
    assert 0 < summary["diversity_at_10"]["category"] <= 1
