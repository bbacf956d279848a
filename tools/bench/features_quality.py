"""What answers are worth without fresh user features, part of benchmark `features`.

Held-out users are asked for through the serving path: with their state fresh, with the
same state gone stale because nobody has written it for longer than its window, and as
new users of whom the last few events are known. One protocol, one release, one run.
"""

from collections.abc import Mapping
from dataclasses import replace

from bench.report import BenchRow, at_least
from cold_measurement import MAX_USERS, measure_cold, measure_stale
from commands.evaluate import EvaluationPlan, held_out_of
from project_state import ProjectState
from stepwell.degradation.tier import Tier
from stepwell.training.model_card import TierFigures
from stepwell.training.training_run import RELEASE_FOLDER
from tier_measurement import Measured, measure_tiers

FRESH, POPULAR = "full", "popular_new_user"
_WORDS = {
    "stale": "user features stale, their writer stopped",
    "new_user": "new user, nothing known",
}
_SPLIT = "test"
_WAYS = (Measured(FRESH, Tier.FULL),)


def quality_rows(state: ProjectState, max_users: int | None = None) -> list[BenchRow]:
    """Returns the rows; about 30 s.

    Args:
        state: whose trained release is asked.
        max_users: asked for, every n-th; None is what a model card asks for.
    """
    folder = state.training / RELEASE_FOLDER
    plan = EvaluationPlan(folder, state.dataset, _SPLIT, None, max_users or MAX_USERS)
    held_out = held_out_of(plan, _silent)
    found = {
        **measure_tiers(folder, held_out, _silent, _WAYS, diverse=False),
        **measure_stale(folder, held_out, _silent),
        **measure_cold(folder, held_out, _silent),
    }
    return rows_of(found, len(held_out.user_rows))


def rows_of(found: Mapping[str, TierFigures], num_users: int) -> list[BenchRow]:
    """Returns NDCG@10 of each way at FULL; the bar is the list that knows no user.

    A new user of whom nothing is known cannot be served better than by that list: half
    a standard error short of it is level with it.
    """
    ndcg = {name: figures.quality.all.ndcg_at_10 for name, figures in found.items()}
    popular, fresh = ndcg[POPULAR], ndcg[FRESH]
    bar = round(popular.value - popular.standard_error / 2, 4)
    rows = [
        BenchRow(
            f"user features fresh, FULL, {num_users} users",
            round(fresh.value, 4),
            "NDCG@10",
            also={"standard error": round(fresh.standard_error, 4)},
        )
    ]
    for name, mean in ndcg.items():
        tier, _, known = name.partition("_")
        if tier == FRESH and known:
            work = f"{_WORDS.get(known, 'new user, ' + known.replace('_', ' '))}, FULL"
            ours = round(mean.value, 4)
            share = {"of fresh": round(ours / max(fresh.value, 1e-9), 3)}
            row = at_least(work, ours, "NDCG@10", bar, {"popular list": popular.value})
            rows.append(replace(row, also=share))
    return rows


def _silent(part: str, share: float) -> None:
    """The benchmark says its own steps."""
