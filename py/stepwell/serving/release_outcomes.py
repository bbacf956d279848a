"""What the answers of live and of the canary come to, counted while a trial runs."""

import math
import threading
from array import array
from collections import OrderedDict

import numpy as np

from stepwell.base.latency_histogram import bucket_of
from stepwell.degradation.reasons import DEADLINE_REASONS
from stepwell.degradation.tier import Tier
from stepwell.experiments.arm_outcomes import (
    LATENCY_BINS,
    SCORE_BINS,
    USER_BUCKETS,
    ArmOutcomes,
    Cells,
    score_bin,
)
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate

MAX_WAITING = 50_000
"""Slates whose responses are waited for; the oldest leave first. About 15 MiB."""

MAX_RESPONSES = 20
"""Of one slate, so that no caller's flood of events counts for many."""

_LATE = frozenset(DEADLINE_REASONS.values())


class ReleaseOutcomes:
    """Counts by release, from the beginning of one trial to its end.

    Concurrency: thread-safe; the workers count, the watch reads.
    Cost: nothing without a trial; with one about 4 us an answer, and 20 us under the
    lock for a reading.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trial: _Trial | None = None

    def begin(self, serial: int) -> None:
        """Begins a trial of a canary; what was counted before is forgotten."""
        self._trial = _Trial(serial)

    def end(self) -> None:
        """Ends the trial."""
        self._trial = None

    def answered(self, serial: int, query: Query, slate: Slate, decided: Tier) -> None:
        """Counts an answer of the release `serial`, whose tier was `decided`."""
        trial = self._trial
        if trial is None:
            return
        with self._lock:
            is_canarys = serial == trial.serial
            arm = trial.canary if is_canarys else trial.live
            bucket = hash(query.user_id) % USER_BUCKETS
            arm.count_answer(bucket, slate, decided)
            if slate.tier > Tier.POPULAR:
                arm.count(bucket, query, slate)
                trial.wait_for(query.request_id, arm, bucket)

    def failed(self, serial: int) -> None:
        """Counts an error of the release `serial`, one of ours."""
        trial = self._trial
        if trial is None:
            return
        with self._lock:
            arm = trial.canary if serial == trial.serial else trial.live
            arm.num_answers += 1
            arm.num_errors += 1

    def responded(self, request_id: str) -> None:
        """Counts a user's response to an answer; to one not known, nothing."""
        trial = self._trial
        if trial is not None:
            with self._lock:
                trial.responded(request_id)

    def arms(self) -> tuple[ArmOutcomes, ArmOutcomes]:
        """Returns what live and the canary have come to; empty without a trial."""
        trial = self._trial
        if trial is None:
            return ArmOutcomes(), ArmOutcomes()
        with self._lock:
            return trial.live.outcomes(), trial.canary.outcomes()


class _Trial:
    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.live, self.canary = _Arm(), _Arm()
        self._waiting: OrderedDict[str, tuple[_Arm, int, int]] = OrderedDict()

    def wait_for(self, request_id: str, arm: "_Arm", bucket: int) -> None:
        self._waiting[request_id] = (arm, bucket, MAX_RESPONSES)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)

    def responded(self, request_id: str) -> None:
        arm, bucket, left = self._waiting.get(request_id, (None, 0, 0))
        if arm is not None and left:
            arm.responses[bucket] += 1.0
            self._waiting[request_id] = (arm, bucket, left - 1)


class _Arm:
    """Counts of one release, in arrays: quick to add to, and to copy."""

    __slots__ = (
        "_answered",
        "_degraded",
        "_flat",
        "_latencies",
        "_predicted",
        "_scores",
        "_short",
        "_slates",
        "num_answers",
        "num_errors",
        "num_late",
        "num_non_finite",
        "responses",
    )

    def __init__(self) -> None:
        self.num_answers = self.num_errors = self.num_late = 0
        self.num_non_finite = 0
        self._latencies = array("q", bytes(8 * LATENCY_BINS))
        self._scores = array("q", bytes(8 * SCORE_BINS))
        self._slates, self.responses, self._predicted, self._flat, self._short = (
            array("d", bytes(8 * USER_BUCKETS)) for _ in range(5)
        )
        self._answered, self._degraded = (
            array("d", bytes(8 * USER_BUCKETS)) for _ in range(2)
        )

    def count_answer(self, bucket: int, slate: Slate, decided: Tier) -> None:
        """Counts an answer, wherever it came from."""
        self.num_answers += 1
        self._answered[bucket] += 1.0
        if slate.reasons and not _LATE.isdisjoint(slate.reasons):
            self.num_late += 1
        elif slate.tier < decided or slate.coverage < 1.0:
            self._degraded[bucket] += 1.0

    def count(self, bucket: int, query: Query, slate: Slate) -> None:
        """Counts a slate that stages made."""
        ranked = slate.ranked
        scores = ranked.scores.tolist()
        self._slates[bucket] += 1.0
        number = len(scores)
        if number < query.num_items and query.given_rows is None:
            self._short[bucket] += 1.0
        if not number:
            return
        mean = sum(scores) / number
        if not math.isfinite(mean):
            self.num_non_finite += 1
            return
        if number > 1 and scores.count(scores[0]) == number:
            self._flat[bucket] += 1.0
        if ranked.objectives.shape[1]:
            self._predicted[bucket] += sum(ranked.objectives[:, 0].tolist())
        if slate.tier is Tier.FULL:
            self._scores[score_bin(mean)] += 1
            self._latencies[bucket_of(sum(slate.stage_us.values()))] += 1

    def outcomes(self) -> ArmOutcomes:
        return ArmOutcomes(
            num_answers=self.num_answers,
            num_errors=self.num_errors,
            num_non_finite=self.num_non_finite,
            num_late=self.num_late,
            latencies=_copied(self._latencies),
            scores=_copied(self._scores),
            slates=_copied(self._slates),
            responses=_copied(self.responses),
            predicted=_copied(self._predicted),
            flat=_copied(self._flat),
            short=_copied(self._short),
            answered=_copied(self._answered),
            degraded=_copied(self._degraded),
        )


def _copied(cells: "array[int] | array[float]") -> Cells:
    return np.frombuffer(cells, cells.typecode).copy()
