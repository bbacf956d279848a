"""How benchmark `serving` asks: one request after the other, or a few callers at once.

All latencies are the caller's, in milliseconds, from the call to the typed answer.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle

from stepwell.base.errors import StepwellError
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Tier

NUM_ITEMS = 10
# Far above every bar: what is measured must not be cut short.
_PATIENT = ClientOptions(deadline_ms=5_000, retries=RetryOptions(max_attempts=1))


@dataclass(slots=True)
class Samples:
    """What sequential requests saw, all in milliseconds and in order."""

    seen_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    retrieval_ms: list[float] = field(default_factory=list)
    num_cached: int = 0

    def note(self, seen_ms: float, answer: Answer) -> None:
        """Adds one answer."""
        served = answer.served_by
        self.seen_ms.append(seen_ms)
        self.server_ms.append(served.server_us / 1e3)
        self.retrieval_ms.append(served.stage_us.get("retrieval", 0) / 1e3)
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
        """Adds to the samples.

        Raises:
            RuntimeError: an answer came from another tier than the forced one: the
                figures would not be what they say.
        """
        for _ in range(num_requests):
            started = time.perf_counter()
            answer = self._client.recommend(
                next(self._users), NUM_ITEMS, forced_tier=self._tier
            )
            self.samples.note((time.perf_counter() - started) * 1e3, answer)
            if answer.served_by.tier is not self._tier:
                raise RuntimeError(
                    f"asked for {self._tier.name}, served by "
                    f"{answer.served_by.tier.name}: {answer.served_by.reasons}"
                )

    def close(self) -> None:
        """Closes the client."""
        self._client.close()


@dataclass(slots=True)
class ClosedLoop:
    """What callers got that each ask again as soon as they are answered."""

    seconds: float = 0.0
    tiers: Counter[Tier] = field(default_factory=Counter)
    num_errors: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.tiers.total() / self.seconds

    def add(
        self, address: str, users: Sequence[str], num_clients: int, seconds: float
    ) -> None:
        """Lets `num_clients` ask for some seconds more."""
        started = time.perf_counter()
        until = started + seconds
        with ThreadPoolExecutor(num_clients) as threads:
            lanes = [
                threads.submit(_lane, address, users[number:], until)
                for number in range(num_clients)
            ]
        for lane in lanes:
            tiers, num_errors = lane.result()
            self.tiers += tiers
            self.num_errors += num_errors
        self.seconds += time.perf_counter() - started


def _lane(
    address: str, users: Sequence[str], until: float
) -> tuple[Counter[Tier], int]:
    """One caller; returns its answers by tier and the number of its errors."""
    tiers: Counter[Tier] = Counter()
    num_errors = 0
    with RecommendClient(address, _PATIENT) as client:
        for user in cycle(users):
            if time.perf_counter() >= until:
                break
            try:
                answer = client.recommend(user, NUM_ITEMS)
            except StepwellError:
                num_errors += 1
            else:
                tiers[answer.served_by.tier] += 1
    return tiers, num_errors
