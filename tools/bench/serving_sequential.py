"""One request after the other, as one patient caller asks.

All latencies are the caller's, in milliseconds, from the call to the typed answer.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Tier

NUM_ITEMS = 10
MAX_OTHER_SHARE = 0.05
"""Of the answers: a late stage steps down whatever tier was asked for."""

# Far above every bar: what is measured must not be cut short.
_PATIENT = ClientOptions(deadline_ms=5_000, retries=RetryOptions(max_attempts=1))


@dataclass(slots=True)
class Samples:
    """What sequential requests saw, all in milliseconds and in order."""

    seen_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    stage_ms: dict[str, list[float]] = field(default_factory=dict)
    num_cached: int = 0

    def note(self, seen_ms: float, answer: Answer) -> None:
        """Adds one answer."""
        served = answer.served_by
        self.seen_ms.append(seen_ms)
        self.server_ms.append(served.server_us / 1e3)
        for stage, took_us in served.stage_us.items():
            self.stage_ms.setdefault(stage, []).append(took_us / 1e3)
        self.num_cached += served.cached_slate_age_ms is not None


class Sequential:
    """One client that asks for one user after the other.

    Args:
        address: of a server.
        users: asked for in turn.
        tier: forced; UNSPECIFIED leaves it to the server.

    Concurrency: one thread.
    """

    def __init__(self, address: str, users: Sequence[str], tier: Tier) -> None:
        self._client = RecommendClient(address, _PATIENT)
        self._users: Iterator[str] = cycle(users)
        self._tier = tier
        self.samples = Samples()

    def warm_up(self, num_requests: int) -> None:
        """Asks and forgets."""
        self.ask(num_requests)
        self.samples = Samples()

    def ask(self, num_requests: int) -> None:
        """Adds to the samples; an answer of another tier than the forced one does not.

        Raises:
            RuntimeError: more of those than MAX_OTHER_SHARE: the figures would not be
                what they say.
        """
        others: list[str] = []
        for _ in range(num_requests):
            started = time.perf_counter()
            answer = self._client.recommend(
                next(self._users), NUM_ITEMS, forced_tier=self._tier
            )
            seen_ms = (time.perf_counter() - started) * 1e3
            served = answer.served_by
            if served.tier is self._tier:
                self.samples.note(seen_ms, answer)
            else:
                others.append(f"{served.tier.name} {served.reasons}")
        if len(others) > MAX_OTHER_SHARE * num_requests:
            raise RuntimeError(
                f"asked for {self._tier.name}, {len(others)} of {num_requests} answers "
                f"were of another tier, at last {others[-1]}"
            )

    def close(self) -> None:
        """Closes the client."""
        self._client.close()
