"""Memory in huge pages: size, alignment, lifetime."""

import gc
from pathlib import Path

import pytest
import torch

from stepwell.ops.huge_pages import (
    HUGE_PAGE_BYTES,
    huge_page_bytes,
    huge_pages_available,
)


@pytest.mark.parametrize("num_bytes", [0, 1, 4095, HUGE_PAGE_BYTES + 1])
def test_gives_zeroed_bytes_on_a_huge_boundary(num_bytes: int) -> None:
    found = huge_page_bytes(num_bytes)
    assert found.dtype == torch.uint8
    assert found.shape == (num_bytes,)
    assert not found.any()
    if num_bytes:
        assert found.data_ptr() % HUGE_PAGE_BYTES == 0
        found.fill_(7)
        assert int(found.sum(dtype=torch.int64)) == 7 * num_bytes


def test_the_memory_lives_as_long_as_a_tensor_over_it() -> None:
    tail = huge_page_bytes(100)[50:]
    gc.collect()
    tail.fill_(3)
    assert int(tail.sum()) == 150


def test_touched_memory_lies_in_huge_pages_where_there_are_any() -> None:
    if not huge_pages_available():
        pytest.skip("this system has no transparent huge pages")
    before = _kib("AnonHugePages:")
    memory = huge_page_bytes(8 * HUGE_PAGE_BYTES)
    memory.fill_(1)
    assert _kib("AnonHugePages:") > before
    assert len(memory) == 8 * HUGE_PAGE_BYTES


@pytest.mark.parametrize("tail_bytes", [1, 100_000, 1 << 20, HUGE_PAGE_BYTES - 1])
def test_takes_half_a_huge_page_beyond_its_size_at_most(tail_bytes: int) -> None:
    num_bytes = HUGE_PAGE_BYTES + tail_bytes
    before = _kib("Anonymous:")
    held = [huge_page_bytes(num_bytes) for _ in range(20)]
    for memory in held:
        memory.fill_(1)
    taken = (_kib("Anonymous:") - before) * 1024 / len(held)
    assert num_bytes * 0.99 < taken < num_bytes + 1.05 * HUGE_PAGE_BYTES / 2


def test_a_short_tail_refuses_huge_pages_even_where_all_memory_has_them() -> None:
    if not huge_pages_available():
        pytest.skip("this system has no transparent huge pages")
    memory = huge_page_bytes(HUGE_PAGE_BYTES + 1)
    first, last = memory.data_ptr(), memory.data_ptr() + HUGE_PAGE_BYTES
    assert "hg" in _vm_flags(first)
    assert "nh" in _vm_flags(last)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="num_bytes must be >= 0, got -1"):
        huge_page_bytes(-1)


def _kib(counter: str) -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(counter):
            return int(line.split()[1])
    return 0


def _vm_flags(address: int) -> list[str]:
    """What /proc/self/smaps says of the mapping that holds an address."""
    is_within = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            begin, end = (int(bound, 16) for bound in name.split("-"))
            is_within = begin <= address < end
        elif is_within and name == "VmFlags:":
            return values
    raise AssertionError(f"{address:#x} is not mapped")
