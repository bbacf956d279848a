"""Memory for large tables in transparent huge pages."""

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

HUGE_PAGE_BYTES = 2 << 20
_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_pages_available() -> bool:
    """Returns whether this system gives huge pages to memory that asks for them."""
    try:
        chosen = _ENABLED.read_text()
    except OSError:
        return False
    return "[never]" not in chosen and hasattr(mmap, "MADV_HUGEPAGE")


def huge_page_bytes(num_bytes: int) -> "Tensor":
    """Returns huge_page_array as a tensor over the same memory."""
    # Most servers never need torch: 1 s to import.
    import torch

    return torch.from_numpy(huge_page_array(num_bytes))


def huge_page_array(num_bytes: int) -> npt.NDArray[np.uint8]:
    """Returns zeroed bytes that lie in transparent huge pages where the system has any.

    Rows read at random from a large table miss the TLB at nearly every row of ordinary
    4 KiB pages; in 2 MiB pages they do not.

    Args:
        num_bytes: size, >= 0.
    Returns:
        uint8 [num_bytes], starting on a boundary of 2 MiB; the memory goes back to the
        system with the last array over it.
    Raises:
        ValueError: num_bytes is negative.
        MemoryError, OSError: the system has no such memory to give.
    Concurrency: safe.
    Cost: address space only; the system clears a page when it is first touched. A last
        huge page of which less than half would be used is ordinary pages, so that no
        array takes more than 1 MiB beyond its size. Where there are no huge pages
        (`huge_pages_available`), all are ordinary.
    """
    if num_bytes < 0:
        raise ValueError(f"num_bytes must be >= 0, got {num_bytes}")
    num_huge = (num_bytes + HUGE_PAGE_BYTES // 2) // HUGE_PAGE_BYTES
    advised_bytes = num_huge * HUGE_PAGE_BYTES
    # Private, as shared memory follows another, mostly disabled, setting.
    memory = mmap.mmap(
        -1,
        max(num_bytes, advised_bytes) + HUGE_PAGE_BYTES,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
    )
    # The array keeps the buffer, and so the mapping, alive.
    mapped = np.frombuffer(memory, np.uint8)
    start = -mapped.ctypes.data % HUGE_PAGE_BYTES
    _advise(memory, start, start + advised_bytes)
    return mapped[start : start + num_bytes]


def _advise(memory: mmap.mmap, start: int, end: int) -> None:
    """Asks for huge pages from start to end, and for ordinary ones behind it.

    The latter is for systems that give huge pages to whoever has room for one.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    try:
        if end > start:
            memory.madvise(mmap.MADV_HUGEPAGE, start, end - start)
        memory.madvise(mmap.MADV_NOHUGEPAGE, end, len(memory) - end)
    except OSError:
        # A kernel without them refuses the advice; the memory is good all the same.
        return
