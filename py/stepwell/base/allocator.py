"""What malloc holds of memory that nobody uses any more."""

import ctypes

_LIBC = ctypes.CDLL(None)


def return_freed_memory() -> None:
    """Has malloc return free pages to the system, in all arenas.

    By itself it returns only the end of an arena, and what was freed in front of one
    block that is still in use stays with the process.

    Concurrency: thread-safe; lets the interpreter's lock go. Who allocates waits while
    its own arena is walked. Does nothing where libc is not glibc.
    """
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)
