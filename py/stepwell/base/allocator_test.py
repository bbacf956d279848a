"""What was freed between blocks that live on goes back to the system."""

from multiprocessing import get_context

from stepwell.base.allocator import (
    LARGE_BYTES,
    keep_large_blocks_apart,
    return_freed_memory,
)

SMALL_BYTES, NUM_SMALL, KEPT = 4096, 20_000, 100
"""Blocks too large for the interpreter's allocator and too small to be mapped."""

NUM_LARGE = 50


def _anonymous_bytes() -> int:
    with open("/proc/self/smaps_rollup") as counters:
        (line,) = (line for line in counters if line.startswith("Anonymous:"))
    return int(line.split()[1]) * 1024


def test_free_memory_between_blocks_in_use_is_returned() -> None:
    blocks = [bytes(SMALL_BYTES) for _ in range(NUM_SMALL)]
    kept = blocks[::KEPT]
    blocks.clear()
    before = _anonymous_bytes()
    return_freed_memory()
    assert before - _anonymous_bytes() > 0.7 * SMALL_BYTES * NUM_SMALL
    assert set(kept) == {bytes(SMALL_BYTES)}


def _held_of_large_blocks(apart: bool) -> float:
    """Of large blocks freed between small ones that live on: the share that stays."""
    if apart:
        keep_large_blocks_apart()
    # From here on malloc, left alone, maps no block of less.
    largest = bytearray(16 * LARGE_BYTES)
    del largest
    before = _anonymous_bytes()
    large, small = [], []
    for _ in range(NUM_LARGE):
        large.append(bytearray(b"1") * LARGE_BYTES)
        small.append(bytes(SMALL_BYTES))
    large.clear()
    return (_anonymous_bytes() - before) / (NUM_LARGE * LARGE_BYTES)


def test_large_blocks_are_returned_when_they_are_freed() -> None:
    # In processes of their own: it is a setting of the process.
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(_held_of_large_blocks, (True,)) < 0.1
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(_held_of_large_blocks, (False,)) > 0.5
