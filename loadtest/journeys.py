"""What a simulated user does: browse, rank what was seen, click, come back."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Event, EventType

NUM_BROWSED = 20
COME_BACK = "come back"


@dataclass(slots=True)
class Visitor:
    """One user's steps over a client. Concurrency: one thread.

    Attributes:
        client: asks and logs.
        user_id: who visits.
        random: chooses what is clicked.
        num_returns: visits after a click of one's own.
        num_felt: those of them whose slate was another one than before the click.
    """

    client: RecommendClient
    user_id: str
    random: Random
    num_returns: int = 0
    num_felt: int = 0
    _last: Answer | None = field(default=None)
    _before_click: Answer | None = field(default=None)

    def browse(self) -> Answer:
        """Asks for a slate and remembers it."""
        self._last = self.client.recommend(self.user_id, NUM_BROWSED, surface="load")
        return self._last

    def rank(self) -> Answer:
        """Has the last slate's items ranked again, as a page of its own would."""
        seen = [item.item_id for item in self._seen().items]
        return self.client.rank(self.user_id, seen, surface="load")

    def click(self) -> None:
        """Logs a click on an item of the last slate."""
        answer = self._seen()
        position = self.random.randrange(len(answer.items))
        event = Event(
            # Not of the seed: a second run would send what the log holds already.
            event_id=str(uuid.uuid4()),
            user_id=self.user_id,
            item_id=answer.items[position].item_id,
            event_type=EventType.CLICK,
            request_id=answer.request_id,
            position=position,
        )
        self.client.log_events([event])
        self._before_click = answer

    def come_back(self) -> Answer:
        """Browses again and sees whether a click made since the last return matters."""
        before, self._before_click = self._before_click, None
        answer = self.browse()
        if before is not None:
            self.num_returns += 1
            self.num_felt += _shown(before) != _shown(answer)
        return answer

    def _seen(self) -> Answer:
        if self._last is None or not self._last.items:
            return self.browse()
        return self._last


def _shown(answer: Answer) -> list[tuple[str, float]]:
    return [(item.item_id, item.score) for item in answer.items]


Step = Callable[[Visitor], Answer | None]

STEPS: dict[str, tuple[Step, int]] = {
    "browse": (Visitor.browse, 8),
    "rank": (Visitor.rank, 2),
    "click": (Visitor.click, 2),
    COME_BACK: (Visitor.come_back, 2),
}
"""Steps by name, each with its weight."""
