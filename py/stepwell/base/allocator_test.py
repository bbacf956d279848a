"""What was freed between blocks that live on goes back to the system."""

from stepwell.base.allocator import return_freed_memory

BLOCK_BYTES, NUM_BLOCKS, KEPT = 4096, 20_000, 100
"""Blocks too large for the interpreter's allocator and too small to be mapped."""


def _anonymous_kib() -> int:
    with open("/proc/self/smaps_rollup") as counters:
        return next(int(line.split()[1]) for line in counters if "Anonymous:" in line)


def test_free_memory_between_blocks_in_use_is_returned() -> None:
    blocks = [bytes(BLOCK_BYTES) for _ in range(NUM_BLOCKS)]
    kept = blocks[::KEPT]
    blocks.clear()
    before_kib = _anonymous_kib()
    return_freed_memory()
    returned = (before_kib - _anonymous_kib()) * 1024
    assert returned > 0.7 * BLOCK_BYTES * NUM_BLOCKS
    assert set(kept) == {bytes(BLOCK_BYTES)}
