"""The thread that keeps online user state caught up with the event log."""

import threading

import structlog

from stepwell.base.errors import StepwellError
from stepwell.base.metric_names import UPDATER_PAUSED
from stepwell.base.metrics import Metrics
from stepwell.feedback.log_retention import EventLogRetention
from stepwell.feedback.turn import NO_OTHERS, Turn
from stepwell.feedback.user_history_updater import UserHistoryUpdater

_log = structlog.get_logger(__name__)
DEFAULT_INTERVAL_S = 0.5
_TURN_POLL_S = 0.002


class UpdaterThread:
    """Keeps an updater caught up: at once when told of new events, else by interval.

    Args:
        retention: forgets old events of the log after they were applied.
        metrics: whether the updater is paused.
        interval_s: how long events of other processes may wait, and the pause after a
            failure.
        turn: taken for each pass. Of the processes that share a log and a store one
            works and the others, woken by their own events, wait for its pass to end:
            it may have applied them already. One that dies gives its turn up.

    Concurrency: `applied_within` and `close` from any thread.
    """

    def __init__(
        self,
        updater: UserHistoryUpdater,
        retention: EventLogRetention,
        metrics: Metrics,
        interval_s: float = DEFAULT_INTERVAL_S,
        turn: Turn = NO_OTHERS,
    ) -> None:
        self._updater = updater
        self._retention = retention
        self._metrics = metrics
        self._interval_s = interval_s
        self._turn = turn
        self._changed = threading.Condition()
        self._asked = 0  # passes asked for; a pass answers all asked before it began
        self._answered = 0
        self._closing = False
        self._paused = False
        self._thread = threading.Thread(target=self._run, name="user-history-updater")
        self._thread.daemon = True
        self._thread.start()

    def applied_within(self, timeout_s: float) -> bool:
        """Wakes the thread; True when all events logged so far were looked at in time.

        After False they are applied later. True is no promise: the store may have
        failed, or the updater may be paused.
        """
        with self._changed:
            self._asked += 1
            ticket = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._answered >= ticket, timeout_s)

    def wake(self) -> None:
        """Has the thread look at the log soon, without waiting for it."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Catches up once more, then ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            # Read before the work: what came before `close` is applied.
            with self._changed:
                closing, asked = self._closing, self._asked
            if not self._taken_turn():
                continue
            try:
                self._pass()
            finally:
                self._turn.give_up()
            with self._changed:
                self._answered = asked
                self._changed.notify_all()
                self._changed.wait_for(self._called, self._interval_s)

    def _taken_turn(self) -> bool:
        """Takes the turn; False after a pause, when another process has it.

        Nobody waits for an idle thread's look at the log; what the other does now is as
        good. At the end there is nothing to wait for: the others go on.
        """
        if self._turn.try_take():
            return True
        with self._changed:
            if self._called():
                self._changed.wait(_TURN_POLL_S)
            else:
                self._changed.wait_for(self._called, self._interval_s)
        return False

    def _called(self) -> bool:
        return self._closing or self._asked > self._answered

    def _pass(self) -> None:
        try:
            self._updater.catch_up()
            next_offset = self._updater.next_offset()
        except StepwellError as error:
            _log.warning("user state is behind", error=str(error))
            return
        self._tell_of_pause(next_offset is None)
        try:
            self._retention.trim_when_due(next_offset)
        except StepwellError as error:
            _log.warning("event log cannot be trimmed", error=str(error))

    def _tell_of_pause(self, paused: bool) -> None:
        """An import pauses for seconds; one that died leaves user state as it was."""
        self._metrics.set(UPDATER_PAUSED, float(paused))
        if paused and not self._paused:
            _log.warning(
                "user state is paused",
                why="an import replaces it; if that one died, publish again",
            )
        if self._paused and not paused:
            _log.info("user state follows the log again")
        self._paused = paused
