"""`./stepwell doctor`: looks at the machine and says how to mend each thing it finds.

Standard library only, so that it runs when nothing is installed yet.
"""

import argparse
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

DEFAULT_PORT = 8500
MIN_FREE_DISK_GIB = 8.0
MIN_MEMORY_GIB = 6.0
PINNED_TORCH = "2.13.0"
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}
APT = "sudo apt-get update && sudo apt-get install -y"
# Library -> the header that tells whether it is there.
LIBRARIES = {
    "libabsl-dev": "/usr/include/absl/status/statusor.h",
    "libnghttp2-dev": "/usr/include/nghttp2/nghttp2.h",
    "liblmdb-dev": "/usr/include/lmdb.h",
    "zlib1g-dev": "/usr/include/zlib.h",
    "libgtest-dev": "/usr/include/gtest/gtest.h",
    "libbenchmark-dev": "/usr/include/benchmark/benchmark.h",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One look: `status` is "ok", "warn" (works without it) or "fail"."""

    name: str
    status: str
    found: str
    fix: str = ""


def finding(
    name: str, holds: bool, found: str, fix: str, soft: bool = False
) -> Finding:
    """Returns a finding; what does not hold is a failure, or a warning when `soft`."""
    if holds:
        return Finding(name, "ok", found)
    return Finding(name, "warn" if soft else "fail", found, fix)


def look_at_python(_root: Path) -> Finding:
    """The interpreter of the environment, or the one that would make it."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    fix = f"{APT} python3 python3-venv python3-dev"
    return finding("python", sys.version_info[:2] == (3, 11), version, fix)


def look_at_packages(root: Path) -> Finding:
    """Whether the environment was filled from today's locks."""
    stale = []
    for group, lock in LOCKS.items():
        stamp = root / ".venv" / f"stepwell-{group}.sha256"
        wanted = hashlib.sha256((root / lock).read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text().strip() != wanted:
            stale.append(group)
    found = f"not from today's lock: {', '.join(stale)}" if stale else "as locked"
    return finding("packages", not stale, found, "./stepwell setup")


def look_at_torch(root: Path) -> Finding:
    """The version of torch; another one may bring gigabytes of CUDA."""
    infos = list((root / ".venv").glob("lib/python3*/site-packages/torch-*.dist-info"))
    version = (
        infos[0].name.removeprefix("torch-").split(".dist")[0] if infos else "none"
    )
    fix = f".venv/bin/pip install torch=={PINNED_TORCH}"
    return finding("torch", version.split("+")[0] == PINNED_TORCH, version, fix)


def look_at_bazel(_root: Path) -> Finding:
    """Debian's Bazel; it prints no version of its own."""
    path = shutil.which("bazel")
    return finding("bazel", bool(path), path or "none", f"{APT} bazel-bootstrap")


def look_at_compiler(_root: Path) -> Finding:
    """g++ with C++20."""
    path = shutil.which("g++")
    if path is None:
        return finding("g++", False, "none", f"{APT} g++")
    done = subprocess.run([path, "-dumpversion"], capture_output=True, text=True)
    version = done.stdout.strip()
    recent = int(version.split(".")[0] or 0) >= 11
    return finding("g++", recent, version, f"{APT} g++  (11 or newer)")


def look_at_libraries(_root: Path) -> Finding:
    """The C++ libraries that come from Debian."""
    missing = [name for name, file in LIBRARIES.items() if not Path(file).exists()]
    found = f"missing: {' '.join(missing)}" if missing else "all there"
    return finding("libraries", not missing, found, f"{APT} {' '.join(missing)}")


def look_at_cpu(_root: Path) -> Finding:
    """Vector instructions: the kernels choose at run time what the machine has."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    flags = set(
        next((x for x in text.splitlines() if x.startswith("flags")), "").split()
    )
    names = [
        name for name in ("sse4_2", "avx2", "avx512f", "amx_tile") if name in flags
    ]
    found = f"{os.cpu_count()} cores, {' '.join(names) or 'no vector flags seen'}"
    fix = "runs on the baseline code paths, several times slower; use a CPU with AVX2"
    return finding("cpu", "avx2" in flags, found, fix, soft=True)


def look_at_cuda(_root: Path) -> Finding:
    """nvcc: without it the CUDA targets are skipped."""
    path = shutil.which("nvcc")
    fix = "only for CUDA kernels: install the CUDA toolkit 13 and put nvcc on PATH"
    return finding("nvcc", bool(path), path or "none", fix, soft=True)


def look_at_memory(_root: Path) -> Finding:
    """Memory that is free now; the demo's training is what needs it."""
    text = Path("/proc/meminfo").read_text()
    line = next(x for x in text.splitlines() if x.startswith("MemAvailable"))
    free_gib = int(line.split()[1]) / 2**20
    fix = f"close something: training on the demo's data needs {MIN_MEMORY_GIB:.0f} GiB"
    enough = free_gib >= MIN_MEMORY_GIB
    return finding("memory", enough, f"{free_gib:.1f} GiB free", fix, soft=True)


def look_at_disk(root: Path) -> Finding:
    """Free disk below the project."""
    free_gib = shutil.disk_usage(root).free / 2**30
    fix = f"free {MIN_FREE_DISK_GIB:.0f} GiB: the environment and the build need it"
    return finding(
        "disk", free_gib >= MIN_FREE_DISK_GIB, f"{free_gib:.1f} GiB free", fix
    )


def look_at_port(_root: Path) -> Finding:
    """Whether the port that `serve` takes by default is free on the loopback."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError as error:
            found = f"{DEFAULT_PORT}: {error.strerror}"
            return finding("port", False, found, "./stepwell serve --port 0", soft=True)
    return finding("port", True, f"{DEFAULT_PORT} is free", "")


def look_at_redis(_root: Path) -> Finding:
    """redis-server: one of the two online stores, and part of the tests."""
    path = shutil.which("redis-server")
    fix = f"{APT} redis-server  (only for the Redis store and its tests)"
    return finding("redis", bool(path), path or "none", fix, soft=True)


def look_at_node(_root: Path) -> Finding:
    """Node: the tests' foreign client and buildifier."""
    path = shutil.which("node") if shutil.which("npm") else None
    fix = f"{APT} nodejs npm  (only for the foreign client's test and lint)"
    return finding("node", bool(path), path or "none", fix, soft=True)


LOOKS: tuple[Callable[[Path], Finding], ...] = (
    look_at_python,
    look_at_packages,
    look_at_torch,
    look_at_bazel,
    look_at_compiler,
    look_at_libraries,
    look_at_cpu,
    look_at_cuda,
    look_at_memory,
    look_at_disk,
    look_at_port,
    look_at_redis,
    look_at_node,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `doctor`."""
    parser.description = "Checks this machine; exits 1 when something must be mended."
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Prints every finding; returns 1 when one of them is a failure."""
    root = Path(os.environ.get("STEPWELL_ROOT", Path.cwd()))
    findings = [look(root) for look in LOOKS]
    if args.json:
        print(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        for one in findings:
            print(f"{one.status:<5} {one.name:<10} {one.found}")
            if one.fix:
                print(f"{'':<16} fix: {one.fix}")
    return int(any(one.status == "fail" for one in findings))


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="./stepwell doctor")
    add_arguments(_parser)
    sys.exit(run(_parser.parse_args()))
