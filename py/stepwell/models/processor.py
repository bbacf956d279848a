"""What this machine's processor can do."""

from functools import cache
from pathlib import Path

AVX512_BF16, AVX512_VNNI, AMX_BF16 = "avx512_bf16", "avx512_vnni", "amx_bf16"
_CPU_INFO = Path("/proc/cpuinfo")


@cache
def processor_flags() -> frozenset[str]:
    """Returns what the processor can do, in the kernel's words.

    A processor whose description has no `flags` (another architecture's) has none.

    Raises:
        OSError: the system describes no processor.
    Cost: some ms a process; what the system does not let programs use is left out.
    """
    lines = _CPU_INFO.read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
