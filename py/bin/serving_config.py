"""The ranker's `--config` file: every constant of the ladder and of the tiers, as YAML.

A file says only what it changes; what it does not say keeps the default that stands
beside the code it belongs to. docs/configuration.md shows a whole file.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.circuit_breaker import BreakerOptions
from stepwell.degradation.controller import LadderOptions
from stepwell.pipeline.planner import PlannerOptions, StageShares, TierShape
from stepwell.reranking.exploration import ExplorationOptions

_MILLION = 1_000_000
_MAX_CONFIG_BYTES = 1 << 20

_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Factor = Annotated[float, Field(gt=0.0, le=2.0)]
_Milliseconds = Annotated[float, Field(gt=0.0, le=60_000.0)]
_SourceName = Literal[
    "history", "co_occurrence", "ann", "trending", "popular", "new_items"
]
_Limit = Annotated[int, Field(ge=1, le=2_000)]
_Samples = Annotated[int, Field(ge=1, le=_MILLION)]


class _Section(BaseModel):
    """A part of the file: frozen, an unknown key is an error, nothing is guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def _said(self) -> dict[str, Any]:
        """The fields that the file names; an explicit null names nothing."""
        return {
            name: getattr(self, name)
            for name in self.model_fields_set
            if getattr(self, name) is not None
        }


class DeadlineConfig(_Section):
    """What a call without a deadline gets: the default, or an error."""

    default_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    required: bool | None = None


class QueueConfig(_Section):
    """The admission queue."""

    max_size: Annotated[int, Field(ge=1, le=100_000)] | None = None


class TrimConfig(_Section):
    """The slow trim of f: when it looks, between which limits, in which steps."""

    interval_ms: _Milliseconds | None = None
    min_samples: _Samples | None = None
    low: _Share | None = None
    high: _Share | None = None
    late: _Factor | None = None
    tail: _Factor | None = None
    early: _Factor | None = None
    down: _Factor | None = None
    up: _Factor | None = None
    calm_up: _Factor | None = None
    calm: _Share | None = None


class CostConfig(_Section):
    """How the cost of a tier is measured."""

    window_ms: _Milliseconds | None = None
    num_slices: Annotated[int, Field(ge=1, le=64)] | None = None
    min_refusing_samples: _Samples | None = None
    min_sure_samples: _Samples | None = None
    refresh_ms: _Milliseconds | None = None


class LadderConfig(_Section):
    """Shares of the traffic and of the budget, each in [0, 1]."""

    initial_fit: _Share | None = None
    probe_share: _Share | None = None
    exercise_share: _Share | None = None
    standing_ms: _Milliseconds | None = None
    trim: TrimConfig = TrimConfig()
    cost: CostConfig = CostConfig()


class TierConfig(_Section):
    """The work of one tier, as ExecutionPlan has it."""

    scorer: Literal["full", "reduced"] | None = None
    source_limits: dict[_SourceName, _Limit] | None = None
    num_candidates: _Limit | None = None
    ef_search: _Limit | None = None
    diversity_lambda: _Share | None = None
    budget_share: _Share | None = None

    def shape(self, default: TierShape) -> TierShape:
        """Returns the default with what the file changes."""
        said = self._said()
        if "budget_share" in said:
            said["budget_ppm"] = _ppm(said.pop("budget_share"))
        return replace(default, **said)


class TiersConfig(_Section):
    """The tiers that run stages; POPULAR does no work to be configured."""

    full: TierConfig = TierConfig()
    reduced: TierConfig = TierConfig()


class StageSharesConfig(_Section):
    """How stages share a request's budget; all five, sum 1."""

    hydrate: _Share
    retrieval: _Share
    features: _Share
    ranking: _Share
    reranking: _Share


class BreakerConfig(_Section):
    """When a dependency's breaker opens and how it comes back."""

    slow_call_ms: _Milliseconds | None = None
    max_slow: _Share | None = None
    max_error: _Share | None = None
    min_calls: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    window_ms: _Milliseconds | None = None
    open_ms: _Milliseconds | None = None
    num_probes: Annotated[int, Field(ge=1, le=1_000)] | None = None

    def options(self, default: BreakerOptions) -> BreakerOptions:
        """Returns the default with what the file changes."""
        return replace(default, **_in_integers(self._said()))


class ScorerConfig(_Section):
    """How the full ranker multiplies."""

    precision: Literal["float32", "bfloat16", "int8"] | None = None


class BatchingConfig(_Section):
    """Several requests in one forward, in Triton's words; 1 scores each alone."""

    preferred_batch_size: Annotated[int, Field(ge=1, le=64)] | None = None
    max_queue_delay_microseconds: Annotated[int, Field(ge=0, le=60_000)] | None = None
    max_queue_size: Annotated[int, Field(ge=1, le=100_000)] | None = None


class ExplorationConfig(_Section):
    """One place for a new item, drawn at random, on a share of the requests."""

    slot_share: _Share | None = None
    position: Annotated[int, Field(ge=1, le=500)] | None = None


class ServingConfig(_Section):
    """The whole file. Concurrency: immutable."""

    latency_budget_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    deadline: DeadlineConfig = DeadlineConfig()
    queue: QueueConfig = QueueConfig()
    ladder: LadderConfig = LadderConfig()
    tiers: TiersConfig = TiersConfig()
    stage_shares: StageSharesConfig | None = None
    breakers: dict[Literal["store", "index"], BreakerConfig] = {}
    scorer: ScorerConfig = ScorerConfig()
    batching: BatchingConfig = BatchingConfig()
    exploration: ExplorationConfig = ExplorationConfig()

    @classmethod
    def read(cls, path: Path) -> "ServingConfig":
        """Reads a YAML file by the safe loader.

        Raises:
            InvalidArgumentError: it cannot be read, is larger than 1 MiB, is no YAML,
                or has an unknown key or a value out of range; names each and says why.
        """
        try:
            # Looked at first: a parser's memory is a multiple of its text.
            if path.stat().st_size > _MAX_CONFIG_BYTES:
                raise InvalidArgumentError(
                    f"{path} has {path.stat().st_size} bytes, "
                    f"must be <= {_MAX_CONFIG_BYTES}",
                    "config",
                )
            said = yaml.safe_load(path.read_text())
            return cls.model_validate({} if said is None else said)
        except ValidationError as error:
            raise InvalidArgumentError(f"{path}: {_sentences(error)}", "config") from (
                error
            )
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidArgumentError(f"{path}: {error}", "config") from error

    def ladder_options(self) -> LadderOptions:
        """Returns the ladder's constants; the latency budget among them."""
        default = LadderOptions()
        ladder = _in_integers(self.ladder._said())
        trim = _in_integers(self.ladder.trim._said())
        cost = _in_integers(self.ladder.cost._said())
        policy = {k: ladder[k] for k in ("probe_ppm", "exercise_ppm") if k in ladder}
        options = replace(
            default,
            policy=replace(default.policy, **policy),
            trim=replace(default.trim, **trim),
            cost=replace(default.cost, **cost),
            initial_fit_ppm=ladder.get("initial_fit_ppm", default.initial_fit_ppm),
            standing_us=ladder.get("standing_us", default.standing_us),
        )
        if self.latency_budget_ms is None:
            return options
        return replace(options, latency_budget_us=self.latency_budget_ms * 1_000)

    def planner_options(self) -> PlannerOptions:
        """Returns the tiers' work and the stages' shares."""
        default = PlannerOptions()
        shares = default.shares
        if self.stage_shares is not None:
            shares = _checked_shares(self.stage_shares)
        return PlannerOptions(
            full=self.tiers.full.shape(default.full),
            reduced=self.tiers.reduced.shape(default.reduced),
            shares=shares,
        )

    def exploration_options(self) -> ExplorationOptions:
        """Returns how often a place is drawn for, and which."""
        return ExplorationOptions(**_in_integers(self.exploration._said()))

    def breaker_options(self, name: str, default: BreakerOptions) -> BreakerOptions:
        """Returns a dependency's breaker: `default` with what the file changes."""
        said = {str(key): config for key, config in self.breakers.items()}.get(name)
        return default if said is None else said.options(default)


def _ppm(share: float) -> int:
    return round(share * _MILLION)


_PPM_NAMES = {
    "initial_fit": "initial_fit_ppm",
    "probe_share": "probe_ppm",
    "exercise_share": "exercise_ppm",
    "low": "low_ppm",
    "high": "high_ppm",
    "late": "late_ratio_ppm",
    "tail": "tail_ratio_ppm",
    "early": "early_ratio_ppm",
    "down": "down_ppm",
    "up": "up_ppm",
    "calm_up": "calm_up_ppm",
    "calm": "calm_ratio_ppm",
    "max_slow": "max_slow_ppm",
    "max_error": "max_error_ppm",
    "slot_share": "slot_share_ppm",
}
"""Shares of the file and the option that holds each in parts per million."""


def _in_integers(said: dict[str, Any]) -> dict[str, Any]:
    """Shares become parts per million and milliseconds microseconds."""
    integers: dict[str, Any] = {}
    for name, value in said.items():
        if name in _PPM_NAMES:
            integers[_PPM_NAMES[name]] = _ppm(value)
        elif name.endswith("_ms"):
            integers[name.removesuffix("_ms") + "_us"] = round(value * 1_000)
        else:
            integers[name] = value
    return integers


def _checked_shares(config: StageSharesConfig) -> StageShares:
    ppm = {name: _ppm(value) for name, value in config._said().items()}
    try:
        return StageShares(**ppm)
    except ValueError as error:
        raise InvalidArgumentError(f"stage_shares: {error}", "stage_shares") from error


def _sentences(error: ValidationError) -> str:
    """Every fault of the file: the key's path, what is wrong, and the value."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
        f" (is {fault['input']!r:.60})"
        for fault in error.errors(include_url=False)
    )
