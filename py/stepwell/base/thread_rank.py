"""Which threads of a server go first when there are more of them than cores."""

import os
import threading

STEPS_BACK = 5
"""In steps of `nice`: about a third of the processor beside a thread at 0."""

_BEHIND = 10


def step_back() -> None:
    """Lets the calling thread give way to those that take calls in and send answers.

    Each turn of theirs is some 20 us, and every caller waits for it. Threads that work
    in the interpreter all step back, or none: one that waits for the processor with the
    interpreter's lock in hand keeps the others from theirs.

    A thread that is as far back already, as all are of a process that was started with
    `nice`, stays where it is: to come forward would need a privilege.

    Concurrency: Linux ranks each thread by itself. Needs no privilege and cannot be
    taken back without one. Cost: two system calls.
    """
    thread = threading.get_native_id()
    if os.getpriority(os.PRIO_PROCESS, thread) < STEPS_BACK:
        os.setpriority(os.PRIO_PROCESS, thread, STEPS_BACK)


def give_way(process: int = 0, *, wholly: bool) -> None:
    """Lets a process of one thread go behind all that answers callers.

    Threads that it starts later do too. Cannot be taken back without a privilege.

    Args:
        process: its number, of this user; 0 is the calling one.
        wholly: run only when nothing else wants the processor; on a busy machine that
            is next to never. Otherwise it keeps a tenth of a core, or more.
    """
    rank = 19 if wholly else _BEHIND
    if os.getpriority(os.PRIO_PROCESS, process) < rank:
        os.setpriority(os.PRIO_PROCESS, process, rank)
    if not wholly:
        return
    try:
        os.sched_setscheduler(process, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        # A kernel or a sandbox without it: then the last rank must do.
        return
