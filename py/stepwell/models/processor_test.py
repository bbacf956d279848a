"""What the processor can do, read from the system's description of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stepwell.models import processor
from stepwell.models.processor import (
    AMX_BF16,
    AVX512_BF16,
    AVX512_VNNI,
    processor_flags,
)


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    processor_flags.cache_clear()
    yield
    processor_flags.cache_clear()


def test_says_of_this_processor_what_torch_says() -> None:
    capabilities = torch.cpu.get_capabilities()
    for name in (AVX512_BF16, AVX512_VNNI, AMX_BF16):
        assert (name in processor_flags()) == bool(capabilities.get(name)), name


@pytest.mark.parametrize(
    ("described", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16\n", {"fpu", "avx512_bf16"}),
        ("flags\t: fpu\n\nflags\t: fpu sse\n", {"fpu"}),
        ("processor\t: 0\nFeatures\t: fp asimd\n", set()),
        ("", set()),
    ],
)
def test_takes_the_flags_of_the_first_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, described: str, flags: set[str]
) -> None:
    (tmp_path / "cpuinfo").write_text(described)
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    assert processor_flags() == flags
