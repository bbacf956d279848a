"""The retrieval stage: every source in turn, each allowed to fail, then one merge."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stepwell.base.deadline import Deadline
from stepwell.base.errors import DeadlineExceededError, StepwellError
from stepwell.base.metric_names import SOURCE_FAILURES
from stepwell.base.metrics import Metrics
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet, SourceResult
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import CandidateSource, Retrieved, SourceRequest
from stepwell.retrieval.merge import MergeOptions, merge


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """Options of the stage.

    Attributes:
        merge: how lists share the merged one.
        source_share: part of the stage's remaining time that one source may take,
            0 < share <= 1; later sources share what is left, so that a slow one takes
            no more than its own.
    """

    merge: MergeOptions = field(default_factory=MergeOptions)
    source_share: float = 0.6


class RetrievalStage:
    """Runs the sources a plan asks for and merges what they emit.

    The one place where a source fails open: an error or a passed deadline gives that
    source's empty list, is counted by source and error, and is named to the caller. A
    list that comes after its source's deadline is counted too but used: it is there.

    Attributes:
        sources: the sources, in the order in which they run.

    Concurrency: as safe as its sources; holds no state of a request.
    """

    def __init__(
        self,
        sources: Sequence[CandidateSource],
        metrics: Metrics | None = None,
        options: RetrievalOptions | None = None,
    ) -> None:
        names = [source.name for source in sources]
        unknown = set(names) - set(SOURCE_NAMES)
        if unknown or len(set(names)) != len(names):
            raise ValueError(f"sources {names} must be distinct, of {SOURCE_NAMES}")
        self.sources = tuple(sources)
        self._metrics = metrics or Metrics()
        self._options = options or RetrievalOptions()

    def run(
        self, query: Query, user: UserContext, plan: ExecutionPlan, deadline: Deadline
    ) -> Retrieved:
        """Returns at most `plan.num_candidates` candidates without excluded rows.

        Raises:
            CancelledError: nobody waits for the answer any more.
        """
        results: dict[str, SourceResult] = {}
        failures: dict[str, str] = {}
        for source in self.sources:
            limit = plan.source_limits.get(source.name, 0)
            if limit < 1:
                continue
            query.check_wanted()
            # Excluded items are dropped in the merge; ask for as many more.
            request = SourceRequest(
                limit=limit + len(query.excluded_rows),
                ef_search=plan.ef_search,
                deadline=self._share(deadline),
            )
            try:
                results[source.name] = source.retrieve(query, user, request)
                if request.deadline.expired():
                    self._count(source.name, DeadlineExceededError.code)
            except Exception as error:  # noqa: BLE001 - a source fails open, whatever it is
                failures[source.name] = f"{_code(error)}: {error}"
                self._count(source.name, _code(error))
        candidates = self._merged(results, query, plan)
        partial = {
            name: result.coverage
            for name, result in results.items()
            if result.coverage < 1
        }
        return Retrieved(candidates, failures, partial)

    def _count(self, name: str, code: str) -> None:
        self._metrics.add(SOURCE_FAILURES, name, code)

    def _share(self, deadline: Deadline) -> Deadline:
        left_us = max(deadline.remaining_us(), 0)
        return deadline.sooner_us(int(left_us * self._options.source_share))

    def _merged(
        self, results: dict[str, SourceResult], query: Query, plan: ExecutionPlan
    ) -> CandidateSet:
        return merge(
            results, query.excluded_rows, plan.num_candidates, self._options.merge
        )


def _code(error: Exception) -> str:
    """The error's label: few values, whatever the text says."""
    return error.code if isinstance(error, StepwellError) else "INTERNAL"
