"""The thread that follows the event log for a process: items, and a call for users."""

import threading
from collections.abc import Callable

import structlog

from stepwell.base.errors import StepwellError
from stepwell.feedback.item_activity import ItemActivity
from stepwell.stores.event_log import EventLog

_log = structlog.get_logger(__name__)

PAUSE_S = 0.05
"""Between two looks at the log: events that come closer are folded together."""
_LONGEST_WAIT_S = 0.2
_PAUSE_AFTER_FAILURE_S = 1.0


class LogFollower:
    """Folds events into the items' state as they come, whichever process logs them.

    Args:
        log: waited for.
        items: kept caught up.
        on_events: told after new events, such as to wake the updater of users.

    Concurrency: `close` from any thread.
    """

    def __init__(
        self,
        log: EventLog,
        items: ItemActivity,
        on_events: Callable[[], None],
    ) -> None:
        self._event_log = log
        self._items = items
        self._on_events = on_events
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="log-follower")
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, within a fraction of a second."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        restored = False
        pause_s = 0.0
        while not self._closing.wait(pause_s):
            pause_s = PAUSE_S
            try:
                if not restored:
                    self._items.restore()
                    restored = True
                self._look()
                self._failing = False
            except StepwellError as error:
                pause_s = _PAUSE_AFTER_FAILURE_S
                if not self._failing:
                    _log.warning("item state is behind", error=str(error))
                self._failing = True

    def _look(self) -> None:
        has_new = self._event_log.wait(self._items.next_offset, _LONGEST_WAIT_S)
        # Also with nothing new: it has looked, and says so by its age.
        self._items.catch_up()
        if has_new:
            self._on_events()
        self._items.rank_when_due()
        self._items.keep_when_due()
