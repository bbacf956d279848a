"""What the demo shows: answers beside habits, every tier, a purchase that counts."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from demo.purchases import RecentPurchases
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Event, EventType, Tier

NUM_ITEMS = 5
_PATIENCE_SECONDS = 5.0

AnswerReport = dict[str, object]


class Showcase:
    """Asks a running ranker and prints what a reader should see.

    Args:
        client: a client of the ranker.
        console: where to print.
        positive_event: the data set's own positive event.
    """

    def __init__(
        self, client: RecommendClient, console: Console, positive_event: EventType
    ) -> None:
        self._client = client
        self._console = console
        self._positive_event = positive_event

    def show_users(self, users: Sequence[RecentPurchases]) -> list[AnswerReport]:
        """Prints what each user had lately beside what is recommended; returns both."""
        reports = []
        for user in users:
            answer = self._client.recommend(user.user_id, num_items=NUM_ITEMS)
            title = f"user {user.user_id} ({user.num_events} events)"
            table = Table(title=title, title_justify="left")
            table.add_column("lately", style="dim", ratio=1)
            table.add_column(f"recommended ({_served(answer)})", ratio=1)
            names = [item.name or item.item_id for item in answer.items]
            for row in range(NUM_ITEMS):
                table.add_row(_entry(user.names, row), _entry(names, row))
            self._console.print(table)
            reports.append(_report(answer, user.user_id, {"lately": user.names}))
        return reports

    def show_tiers(self, user_id: str) -> list[AnswerReport]:
        """Prints one user's slate at every tier; returns the answers."""
        tiers = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)
        answers = [
            self._client.recommend(user_id, num_items=NUM_ITEMS, forced_tier=tier)
            for tier in tiers
        ]
        table = Table(title=f"user {user_id} at every tier", title_justify="left")
        for answer in answers:
            table.add_column(_served(answer), ratio=1)
        for row in range(NUM_ITEMS):
            columns = [[item.name or item.item_id for item in a.items] for a in answers]
            table.add_row(*(_entry(column, row) for column in columns))
        self._console.print(table)
        return [_report(answer, user_id) for answer in answers]

    def show_feedback(self, user_id: str) -> AnswerReport:
        """Logs an event on an item far down the slate and prints what it changes."""
        before = self._client.recommend(user_id, num_items=50, forced_tier=Tier.FULL)
        bought = before.items[-1]
        event = Event(
            event_id=str(uuid.uuid4()),
            user_id=user_id,
            item_id=bought.item_id,
            event_type=self._positive_event,
            request_id=before.request_id,
            position=len(before.items) - 1,
        )
        self._client.log_events([event])
        ranks_before = _ranks(before)
        after = _until(
            lambda: self._client.recommend(
                user_id, num_items=50, forced_tier=Tier.FULL
            ),
            lambda answer: _ranks(answer).get(bought.item_id) != len(before.items),
        )
        rank = _ranks(after).get(bought.item_id)
        name = bought.name or bought.item_id
        moved = "no longer in the first 50" if rank is None else f"now {rank}"
        kind = self._positive_event.name.lower()
        self._console.print(
            f"user {user_id}: logged a {kind} of [bold]{name}[/bold], "
            f"rank {ranks_before[bought.item_id]} before, {moved}; "
            f"{_num_changed(ranks_before, _ranks(after))} of 50 places changed\n"
        )
        changed = rank != len(before.items)
        return _report(after, user_id, {"logged_item": name, "changed": changed})


def _until(ask: Callable[[], Answer], is_so: Callable[[Answer], bool]) -> Answer:
    """Asks again until the answer is as wanted, for a few seconds at most."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    answer = ask()
    while not is_so(answer) and time.monotonic() < give_up:
        answer = ask()
    return answer


def _ranks(answer: Answer) -> dict[str, int]:
    return {item.item_id: rank for rank, item in enumerate(answer.items, 1)}


def _num_changed(before: dict[str, int], after: dict[str, int]) -> int:
    return sum(after.get(item_id) != rank for item_id, rank in before.items())


def _entry(names: Sequence[str], row: int) -> str:
    return names[row].title() if row < len(names) else ""


def _served(answer: Answer) -> str:
    served = answer.served_by
    reasons = ", ".join(reason.name for reason in served.reasons)
    age = served.cached_slate_age_ms
    cached = f", slate cached {age / 1e3:.1f} s ago" if age is not None else ""
    return f"{served.tier.name}, {served.server_us / 1e3:.1f} ms{cached}" + (
        f", {reasons}" if reasons else ""
    )


def _report(
    answer: Answer, user_id: str, more: Mapping[str, object] | None = None
) -> AnswerReport:
    served = answer.served_by
    items = [
        {"item_id": item.item_id, "name": item.name, "score": item.score}
        for item in answer.items[:NUM_ITEMS]
    ]
    return {
        "user_id": user_id,
        "tier": served.tier.name,
        "reasons": [reason.name for reason in served.reasons],
        "release": served.release_id,
        "items": items,
        **(more or {}),
    }
