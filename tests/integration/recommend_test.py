"""A real ranker on a real, small release: tiers, feedback, filters."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from integration.small_project import SmallProject
from server_process import server_process
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Reason, Tier


@pytest.mark.parametrize("tier", [Tier.FULL, Tier.REDUCED, Tier.POPULAR])
def test_every_tier_answers_and_says_that_it_was_forced(
    client: RecommendClient, project: SmallProject, tier: Tier
) -> None:
    answer = client.recommend(project.user_ids[0], 10, forced_tier=tier)
    assert answer.served_by.tier is tier
    assert Reason.FORCED in answer.served_by.reasons
    ids = [item.item_id for item in answer.items]
    assert len(set(ids)) == 10
    stages = set(answer.served_by.stage_us)
    if tier is Tier.POPULAR:
        assert stages == {"popular"}
    else:
        assert stages == {"hydrate", "retrieval", "features", "ranking", "reranking"}
    assert answer.served_by.release_id == "v000001"


def test_tiers_agree_on_more_than_chance(
    client: RecommendClient, project: SmallProject
) -> None:
    shared = 0
    for user_id in project.user_ids[:20]:
        full, reduced = (
            {i.item_id for i in client.recommend(user_id, 20, forced_tier=tier).items}
            for tier in (Tier.FULL, Tier.REDUCED)
        )
        shared += len(full & reduced)
    # Of 400 places; 20 of 1,000 items drawn twice share 0.4 on average.
    assert shared >= 100


@pytest.mark.parametrize("tier", [Tier.FULL, Tier.REDUCED, Tier.POPULAR])
def test_excluded_items_never_come_back(
    client: RecommendClient, project: SmallProject, tier: Tier
) -> None:
    user_id = project.user_ids[1]
    first = client.recommend(user_id, 50, forced_tier=tier)
    excluded = [item.item_id for item in first.items[:40]]
    second = client.recommend(user_id, 50, exclude_item_ids=excluded, forced_tier=tier)
    assert len(second.items) == 50
    assert not {item.item_id for item in second.items} & set(excluded)


def test_a_large_slate_is_full_at_every_tier(
    client: RecommendClient, project: SmallProject
) -> None:
    for tier in (Tier.FULL, Tier.REDUCED, Tier.POPULAR):
        answer = client.recommend(project.user_ids[2], 500, forced_tier=tier)
        assert len({item.item_id for item in answer.items}) == 500


def test_a_logged_purchase_changes_the_next_answer(
    client: RecommendClient, project: SmallProject
) -> None:
    user_id = project.user_ids[3]
    before = client.recommend(user_id, 100, forced_tier=Tier.FULL)
    bought = before.items[-1].item_id
    event = Event(str(uuid4()), user_id, bought, EventType.PURCHASE)
    assert client.log_events([event]).num_stored == 1
    assert client.log_events([event]).num_duplicates == 1
    after = client.recommend(user_id, 100, forced_tier=Tier.FULL)
    ids_before = [item.item_id for item in before.items]
    ids_after = [item.item_id for item in after.items]
    assert ids_after != ids_before
    scores = {item.item_id: item.score for item in before.items}
    changed = [i for i in after.items if scores.get(i.item_id) not in (None, i.score)]
    assert changed, "the ranker did not see the event"


def test_a_purchase_of_an_unknown_user_ends_the_cold_start(
    client: RecommendClient, project: SmallProject
) -> None:
    user_id = f"new-{uuid4()}"
    cold = client.recommend(user_id, 10, forced_tier=Tier.FULL)
    assert Reason.MISSING_USER in cold.served_by.reasons
    bought = cold.items[0].item_id
    client.log_events([Event(str(uuid4()), user_id, bought, EventType.PURCHASE)])
    warm = client.recommend(user_id, 10, forced_tier=Tier.FULL)
    assert Reason.MISSING_USER not in warm.served_by.reasons


def test_what_the_policy_denies_is_shown_at_no_tier(
    client: RecommendClient, project: SmallProject, tmp_path: Path
) -> None:
    users = project.user_ids[7:12]
    tiers = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)

    def shown(asked: RecommendClient) -> set[str]:
        answers = [
            asked.recommend(user_id, 50, forced_tier=tier)
            for user_id in users
            for tier in tiers
        ]
        assert all(len(answer.items) == 50 for answer in answers)
        return {item.item_id for answer in answers for item in answer.items}

    denied = sorted(shown(client))[::2]
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"denied_item_ids": denied}))
    flags = project.flags(f"--policy={policy}", f"--event_log={tmp_path / 'events'}")
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, ClientOptions(deadline_ms=20_000)) as strict,
    ):
        assert not shown(strict) & set(denied)


def test_what_was_bought_within_the_window_is_hidden_when_asked(
    client: RecommendClient, project: SmallProject, tmp_path: Path
) -> None:
    user_id = project.user_ids[13]
    own = client.recommend(user_id, 20, explain=True, forced_tier=Tier.FULL)
    bought = {i.item_id for i in own.items if "history" in i.source_ranks}
    assert bought
    flags = project.flags(
        "--hide_purchased_days=3650", f"--event_log={tmp_path / 'events'}"
    )
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, ClientOptions(deadline_ms=20_000)) as films,
    ):
        for tier in (Tier.FULL, Tier.REDUCED):
            answer = films.recommend(user_id, 20, forced_tier=tier)
            assert len(answer.items) == 20
            assert not {item.item_id for item in answer.items} & bought


def test_explain_names_sources_and_objectives(
    client: RecommendClient, project: SmallProject
) -> None:
    answer = client.recommend(
        project.user_ids[4], 10, explain=True, forced_tier=Tier.FULL
    )
    sources = {name for item in answer.items for name in item.source_ranks}
    assert "history" in sources
    assert all(item.objectives for item in answer.items)
    assert all(item.source_ranks for item in answer.items)


def test_popular_serves_the_users_own_last_slate_and_says_its_age(
    client: RecommendClient, project: SmallProject
) -> None:
    user_id = project.user_ids[5]
    full = client.recommend(user_id, 10, forced_tier=Tier.FULL)
    popular = client.recommend(user_id, 10, forced_tier=Tier.POPULAR)
    assert popular.served_by.cached_slate_age_ms is not None
    assert [i.item_id for i in popular.items] == [i.item_id for i in full.items]


def test_ranks_the_callers_items_and_only_those(
    client: RecommendClient, project: SmallProject
) -> None:
    user_id = project.user_ids[6]
    slate = client.recommend(user_id, 30, forced_tier=Tier.FULL)
    given = [item.item_id for item in slate.items[::-1]]
    ranked = client.rank(user_id, [*given, "no such item"], forced_tier=Tier.FULL)
    assert sorted(item.item_id for item in ranked.items) == sorted(given)
    assert ranked.unknown_item_ids == ("no such item",)
