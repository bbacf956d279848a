"""What sells faster than it did: the same for every user."""

from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.popular_lists import PopularLists


class TrendingSource:
    """The release's trending list. Concurrency: immutable. Cost: one slice."""

    name = "trending"

    def __init__(self, lists: PopularLists) -> None:
        self._lists = lists

    def retrieve(
        self,
        query: Query,  # noqa: ARG002 - the protocol's
        user: UserContext,  # noqa: ARG002
        request: SourceRequest,
    ) -> SourceResult:
        """Returns the head of the list."""
        request.deadline.check(self.name)
        return self._lists.trending(request.limit)
