"""What a caller of Stepwell imports: typed calls, one deadline, bounded retries.

    from stepwell.client import RecommendClient

    with RecommendClient("127.0.0.1:8500") as client:
        answer = client.recommend("user-1", num_items=10)
        for item in answer.items:
            print(item.item_id, item.score)
        print(answer.served_by.tier)

Depends on grpcio and protobuf only. `AsyncRecommendClient` is the same for asyncio.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepwell.client.async_client import AsyncRecommendClient
    from stepwell.client.sync_client import RecommendClient

__all__ = ["AsyncRecommendClient", "RecommendClient"]

_MODULES = {
    "AsyncRecommendClient": "stepwell.client.async_client",
    "RecommendClient": "stepwell.client.sync_client",
}


def __getattr__(name: str) -> Any:
    """Loads a client when it is first asked for; its modules need this package."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
