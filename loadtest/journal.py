"""Notes calls that clients make one by one, and returns them as a run."""

from dataclasses import dataclass, field

import numpy as np

from load_run import STATUS_NAMES, LoadRun
from stepwell.base.errors import StepwellError
from stepwell.client.types import Answer

_UNKNOWN = STATUS_NAMES.index("UNKNOWN")


@dataclass(slots=True)
class Journal:
    """Rows of a closed loop: a call is due when its caller gets to it.

    Concurrency: one thread or one event loop.
    """

    rows: list[tuple[float, ...]] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)

    def note(
        self,
        lane: str,
        sent_s: float,
        done_s: float,
        outcome: Answer | StepwellError | None,
    ) -> None:
        """Adds a call.

        Args:
            lane: kind of call.
            sent_s, done_s: seconds on one clock.
            outcome: the answer, None where a success has none, or the error.
        """
        if lane not in self.lanes:
            self.lanes.append(lane)
        row = (sent_s, done_s, float(self.lanes.index(lane)))
        if isinstance(outcome, StepwellError):
            self.rows.append((*row, _status(outcome), 0, 0, 0, 0, 0))
        elif outcome is None:
            self.rows.append((*row, 0, 0, 0, 0, 0, 0))
        else:
            served = outcome.served_by
            bits = sum(1 << reason for reason in served.reasons)
            self.rows.append(
                (
                    *(*row, 0, served.tier, bits),
                    *(served.server_us, served.queue_us, len(outcome.items)),
                )
            )

    def run(self, cpu_share: float = 0.0) -> LoadRun:
        """Returns the calls noted so far, in the order in which they were sent.

        Args:
            cpu_share: of one core, of the process that made the calls.
        """
        table = np.array(sorted(self.rows), np.float64).reshape(-1, 9).T
        sent, done, lane, status, tier, reasons, server_us, queue_us, items = table
        start = float(sent[0]) if len(sent) else 0.0
        return LoadRun(
            due_s=sent - start,
            sent_s=sent - start,
            done_s=done - start,
            lane=lane.astype(np.int16),
            status=status.astype(np.int16),
            tier=tier.astype(np.int8),
            reasons=reasons.astype(np.uint32),
            server_us=server_us.astype(np.int32),
            queue_us=queue_us.astype(np.int32),
            pushback_ms=np.full(len(sent), -1, np.int32),
            num_items=items.astype(np.int16),
            attempts=np.ones(len(sent), np.int16),
            lane_names=tuple(self.lanes),
            generator_cpu_share=cpu_share,
            seconds=float((done - start).max()) if len(sent) else 0.0,
            started_s=start,
        )


def _status(error: StepwellError) -> int:
    if error.code in STATUS_NAMES:
        return STATUS_NAMES.index(error.code)
    return _UNKNOWN
