"""Which threads of a server go first when there are more of them than cores."""

import os
import threading

STEPS_BACK = 5
"""In steps of `nice`: about a third of the processor beside a thread at 0."""


def step_back() -> None:
    """Lets the calling thread give way to those that take calls in and send answers.

    Each turn of theirs is some 20 us, and every caller waits for it. Threads that work
    in the interpreter all step back, or none: one that waits for the processor with the
    interpreter's lock in hand keeps the others from theirs.

    Concurrency: Linux ranks each thread by itself. Needs no privilege and cannot be
    taken back without one. Cost: one system call.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), STEPS_BACK)
