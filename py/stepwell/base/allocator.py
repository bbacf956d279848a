"""How malloc shares out the memory of a server that swaps releases for years."""

import ctypes

LARGE_BYTES = 1 << 20
"""Above what a request takes, below the large arrays of a release."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""

_LIBC = ctypes.CDLL(None)


def keep_large_blocks_apart() -> None:
    """Has malloc map each block of LARGE_BYTES or more by itself, from now on.

    Such a block goes back to the system when it is freed. By itself malloc raises that
    limit to the largest block that was ever freed, 32 MiB at most: the arrays of a
    release then lie among small blocks that outlive it, and leave holes.

    Concurrency: for the whole process and its forks. Does nothing where libc is not
    glibc.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        # Twice that, as malloc would: what a request frees is there for the next one.
        _LIBC.mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BYTES)


def return_freed_memory() -> None:
    """Has malloc return free pages to the system, in all arenas.

    By itself it returns only the end of an arena, and what was freed in front of one
    block that is still in use stays with the process.

    Concurrency: thread-safe; lets the interpreter's lock go. Who allocates waits while
    its own arena is walked. Does nothing where libc is not glibc.
    """
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
