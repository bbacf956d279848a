"""Canaries that are worse than live: what a release runs, wrapped."""

import zlib
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from stepwell.degradation.tier import Tier
from stepwell.pipeline.executor import Executor
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.serving.engine import Engine

DUD_ROW = 0
"""Of the item that a worse canary shows; nobody clicks on it in a test."""


@dataclass(frozen=True, slots=True)
class CanaryFault:
    """What is wrong with a canary; the defaults are nothing.

    Attributes:
        times: its stages run so many times: a multiple of the work, not of the clock.
        crash_share: of the requests, which raise.
        not_finite: its scores are no numbers.
        num_duds: items at the end of each slate whose place the dud takes.
    """

    times: int = 1
    crash_share: float = 0.0
    not_finite: bool = False
    num_duds: int = 0

    @classmethod
    def parse(cls, text: str) -> "CanaryFault":
        """Reads "slow:2", "crash:0.01", "nan" or "duds:1"."""
        kind, _, amount = text.partition(":")
        if kind == "slow":
            return cls(times=int(amount))
        if kind == "crash":
            return cls(crash_share=float(amount))
        if kind == "duds":
            return cls(num_duds=int(amount))
        if kind == "nan":
            return cls(not_finite=True)
        raise ValueError(f"fault {text!r} must be slow:N, crash:SHARE, nan or duds:N")


def worsened(engine: Engine, fault: CanaryFault) -> Engine:
    """Returns an engine over the same parts that has the fault."""
    executor = _FaultyExecutor(engine.executor, fault)
    return replace(engine, executor=cast(Executor, executor))


class _FaultyExecutor:
    """Runs another executor and spoils what comes out."""

    def __init__(self, executor: Executor, fault: CanaryFault) -> None:
        self._executor = executor
        self._fault = fault

    def __getattr__(self, name: str) -> object:
        return getattr(self._executor, name)

    def run(self, query: Query, tier: Tier) -> Slate:
        fault = self._fault
        chance = zlib.crc32(query.request_id.encode()) / 2**32
        if chance < fault.crash_share:
            raise RuntimeError("this canary crashes at times")
        slate = self._executor.run(query, tier)
        for _ in range(fault.times - 1):
            again = self._executor.run(query, tier).stage_us
            slate.stage_us.update(
                {
                    stage: us + again.get(stage, 0)
                    for stage, us in slate.stage_us.items()
                }
            )
        ranked = slate.ranked
        if fault.not_finite:
            ranked = replace(ranked, scores=np.full_like(ranked.scores, np.nan))
        if fault.num_duds and len(ranked):
            rows = ranked.candidates.rows.copy()
            rows[-fault.num_duds :] = DUD_ROW
            ranked = replace(ranked, candidates=replace(ranked.candidates, rows=rows))
        return replace(slate, ranked=ranked)
