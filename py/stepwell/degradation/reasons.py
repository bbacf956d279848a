"""Why an answer is not a plain FULL one."""

import enum


class Reason(enum.IntEnum):
    """One cause; the numbers are those of stepwell_pb.v1.Reason."""

    BACKLOG = 1
    """The work waiting would have eaten the budget of a better tier."""
    DEADLINE_HYDRATE = 2
    """The user's state came too late; also the four that follow, by stage."""
    DEADLINE_RETRIEVAL = 3
    DEADLINE_FEATURES = 4
    DEADLINE_RANKING = 5
    DEADLINE_RERANKING = 6
    BREAKER_STORE = 7
    """The feature store failed or its breaker is open; also the two that follow."""
    BREAKER_INDEX = 8
    BREAKER_EMBEDDINGS = 9
    STALE_FEATURES = 10
    """A view was older than its freshness window; its default was used."""
    MISSING_USER = 11
    """Nothing is known of this user."""
    SHARD_COVERAGE = 12
    """A shard or a candidate source was late or failed."""
    PROBE = 13
    """Tried one tier up while the better tier was unused."""
    EXERCISE = 14
    """Healthy traffic sent down on purpose, so that the fallback does not rot."""
    FORCED = 15
    """An operator or the caller asked for this tier."""
    NO_RELEASE = 16
    """No release is live."""

    @property
    def label(self) -> str:
        """Lower-case name for metrics."""
        return self.name.lower()


DEADLINE_REASONS = {
    "hydrate": Reason.DEADLINE_HYDRATE,
    "retrieval": Reason.DEADLINE_RETRIEVAL,
    "features": Reason.DEADLINE_FEATURES,
    "ranking": Reason.DEADLINE_RANKING,
    "reranking": Reason.DEADLINE_RERANKING,
}
"""The reason that a late stage leaves behind, by stage name."""

BREAKER_REASONS = {
    "store": Reason.BREAKER_STORE,
    "index": Reason.BREAKER_INDEX,
    "embeddings": Reason.BREAKER_EMBEDDINGS,
}
"""The reason that an open breaker leaves behind, by dependency."""
