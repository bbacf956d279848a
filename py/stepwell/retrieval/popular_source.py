"""What most people of the user's segment buy, then what most people buy."""

from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.popular_lists import PopularLists


class PopularSource:
    """The segment's popular list. Concurrency: immutable. Cost: O(limit)."""

    name = "popular"

    def __init__(self, lists: PopularLists) -> None:
        self._lists = lists

    def retrieve(
        self,
        query: Query,  # noqa: ARG002 - the protocol's
        user: UserContext,
        request: SourceRequest,
    ) -> SourceResult:
        """Returns the head of the segment's list, filled up from the global one."""
        request.deadline.check(self.name)
        return self._lists.popular(user.segment_row, request.limit)
