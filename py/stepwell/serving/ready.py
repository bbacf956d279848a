"""Where a ranker listens, as the processes around it are told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a server listens that has begun to serve.

    Attributes:
        admin_port: 0 where the operator's door is no port.
        admin_address: of the operator's door, for a gRPC client.
    """

    port: int
    metrics_port: int
    admin_port: int
    release_id: str
    admin_address: str = ""
