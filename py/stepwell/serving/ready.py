"""Where a ranker listens, as the processes around it are told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a server listens that has begun to serve."""

    port: int
    metrics_port: int
    admin_port: int
    release_id: str
