"""A child process that ends when its parent does, however that ended."""

import ctypes
import os
import signal

from stepwell.base.errors import UnavailableError

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Has the kernel send this process a signal when its parent is gone.

    Args:
        parent_pid: the parent's; 0 asks for nothing.
        by: the signal.
    Raises:
        UnavailableError: the parent is gone already, or the kernel refuses.
    """
    if not parent_pid:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0) != 0:
        raise UnavailableError(f"prctl: {os.strerror(ctypes.get_errno())}")
    # It may have ended before the kernel knew of our wish.
    if os.getppid() != parent_pid:
        raise UnavailableError(f"the parent process {parent_pid} is gone")
