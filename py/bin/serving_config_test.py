"""The config file changes what it says and nothing else; what is wrong is named."""

from pathlib import Path

import pytest

from serving_config import ServingConfig
from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.circuit_breaker import BreakerOptions
from stepwell.degradation.controller import LadderOptions
from stepwell.pipeline.candidate import SOURCE_NAMES
from stepwell.pipeline.planner import FULL_SHAPE, PlannerOptions
from stepwell.reranking.exploration import ExplorationOptions

_WHOLE = """
latency_budget_ms: 20
deadline: {default_ms: 150, required: true}
queue: {max_size: 64}
ladder:
  initial_fit: 0.4
  probe_share: 0.02
  exercise_share: 0.01
  standing_ms: 250
  cost: {window_ms: 2000, min_sure_samples: 5}
  trim:
    {interval_ms: 250, low: 0.2, high: 0.6, late: 0.8, calm_up: 1.1, calm: 0.3}
tiers:
  full: {num_candidates: 500, ef_search: 300, source_limits: {ann: 500}}
  reduced: {budget_share: 0.3}
stage_shares:
  {hydrate: 0.2, retrieval: 0.2, features: 0.2, ranking: 0.2, reranking: 0.2}
breakers: {store: {slow_call_ms: 5, max_error: 0.25}}
"""


def _read(folder: Path, text: str) -> ServingConfig:
    path = folder / "ranker.yaml"
    path.write_text(text)
    return ServingConfig.read(path)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    config = _read(tmp_path, "# nothing yet\n")
    assert config.ladder_options() == LadderOptions()
    assert config.planner_options() == PlannerOptions()


def test_every_constant_of_the_ladder_reaches_its_option(tmp_path: Path) -> None:
    ladder = _read(tmp_path, _WHOLE).ladder_options()
    assert ladder.latency_budget_us == 20_000
    assert ladder.initial_fit_ppm == 400_000
    assert ladder.policy.probe_ppm == 20_000
    assert ladder.policy.exercise_ppm == 10_000
    assert ladder.trim.interval_us == 250_000
    assert (ladder.trim.low_ppm, ladder.trim.high_ppm) == (200_000, 600_000)
    assert ladder.standing_us == 250_000
    assert (ladder.cost.window_us, ladder.cost.min_sure_samples) == (2_000_000, 5)
    assert ladder.trim.late_ratio_ppm == 800_000
    assert (ladder.trim.calm_up_ppm, ladder.trim.calm_ratio_ppm) == (1_100_000, 300_000)
    assert ladder.trim.down_ppm == LadderOptions().trim.down_ppm


def test_a_tier_keeps_what_the_file_does_not_say(tmp_path: Path) -> None:
    planner = _read(tmp_path, _WHOLE).planner_options()
    assert planner.full.num_candidates == 500
    assert dict(planner.full.source_limits) == {"ann": 500}
    assert planner.full.diversity_lambda == FULL_SHAPE.diversity_lambda
    assert planner.reduced.budget_ppm == 300_000
    assert planner.shares.retrieval == 200_000


def test_a_breaker_keeps_what_the_file_does_not_say(tmp_path: Path) -> None:
    config, default = _read(tmp_path, _WHOLE), BreakerOptions(slow_call_us=50_000)
    store = config.breaker_options("store", default)
    assert (store.slow_call_us, store.max_error_ppm) == (5_000, 250_000)
    assert store.open_us == default.open_us
    assert config.breaker_options("index", default) == default


def test_the_sources_of_a_tier_are_those_of_the_pipeline(tmp_path: Path) -> None:
    limits = ", ".join(f"{name}: 7" for name in SOURCE_NAMES)
    config = _read(tmp_path, f"tiers: {{full: {{source_limits: {{{limits}}}}}}}")
    assert dict(config.planner_options().full.source_limits) == dict.fromkeys(
        SOURCE_NAMES, 7
    )


def test_nothing_is_explored_unless_the_file_says_so(tmp_path: Path) -> None:
    assert _read(tmp_path, "").exploration_options() == ExplorationOptions()
    assert ExplorationOptions().slot_share_ppm == 0
    said = _read(tmp_path, "exploration: {slot_share: 0.01, position: 3}")
    assert said.exploration_options() == ExplorationOptions(10_000, 3)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("exploration: {slot_share: 2}", "exploration.slot_share"),
        ("exploration: {position: 0}", "exploration.position"),
        ("latency_budget: 20", "latency_budget"),
        ("ladder: {trim: {lo: 0.1}}", "ladder.trim.lo"),
        ("ladder: {probe_share: 1.5}", "ladder.probe_share"),
        ("ladder: {probe_share: .nan}", "ladder.probe_share"),
        ("tiers: {full: {num_candidates: 0}}", "tiers.full.num_candidates"),
        ("tiers: {full: {source_limits: {faiss: 5}}}", "faiss"),
        ("breakers: {cache: {}}", "cache"),
        ("[1, 2]", "the file"),
        ("a: [", "ranker.yaml"),
        ("!!python/object/apply:os.system ['true']", "python/object"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_its_fault(
    tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        _read(tmp_path, text)


def test_shares_that_do_not_sum_to_one_are_refused(tmp_path: Path) -> None:
    shares = "{hydrate: 0.1, retrieval: 0.1, features: 0.1, ranking: 0.1, reranking: 0}"
    with pytest.raises(InvalidArgumentError, match="stage_shares"):
        _read(tmp_path, f"stage_shares: {shares}").planner_options()


def test_a_file_past_the_size_limit_is_not_parsed(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="1048576"):
        _read(tmp_path, "#" * ((1 << 20) + 1))
