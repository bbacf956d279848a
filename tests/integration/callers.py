"""Clients that ask until they are told to stop, while a test does something else."""

import threading
from dataclasses import dataclass, field
from itertools import count

from stepwell.base.errors import StepwellError
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Tier

NUM_CLIENTS = 4
PAUSE_S = 0.02
PATIENT = ClientOptions(deadline_ms=20_000)


@dataclass
class Callers:
    """Four clients, each on connections of its own, that ask from `with` to its end.

    Attributes:
        address: host:port.
        user_ids: they ask for, in turn.
        dear_every: one call in so many is for the server's choice of tier, the others
            are for POPULAR: a flood of the dear ones would only keep processes that are
            to start from starting.
        errors: of calls without an answer.
        num_answers: of all of them.
    """

    address: str
    user_ids: list[str]
    dear_every: int = 1
    errors: list[str] = field(default_factory=list)
    num_answers: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,))
            for number in range(NUM_CLIENTS)
        ]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, first: int) -> None:
        with RecommendClient(self.address, PATIENT) as client:
            for turn in count(first):
                if self._stop.wait(PAUSE_S):
                    break
                is_dear = turn % self.dear_every == 0
                tier = Tier.UNSPECIFIED if is_dear else Tier.POPULAR
                user_id = self.user_ids[turn % len(self.user_ids)]
                try:
                    client.recommend(user_id, 5, forced_tier=tier)
                    self.num_answers += 1
                except StepwellError as error:
                    self.errors.append(repr(error))
