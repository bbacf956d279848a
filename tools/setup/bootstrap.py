"""Makes a bare Debian 12 machine able to build and run Stepwell; standard library only.

    python3.11 tools/setup/bootstrap.py --group runtime --group dev

Two steps, each skipped when its work is done: the Debian packages that are missing
(with root; else the one apt line is printed and the exit status is 3), and a virtual
environment holding the pinned closure of each group. A stamp in the environment keeps
the hash of each lock, so nothing is installed twice. Concurrent calls wait for the
first.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from progress import Step

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    "runtime": "requirements.lock",
    "data": "requirements-data.lock",
    "dev": "requirements-dev.lock",
    # Peers that only `./stepwell bench` measures; no command installs it by itself.
    "bench": "requirements-bench.lock",
    # Training rows on Spark; no command installs it by itself.
    "spark": "requirements-spark.lock",
}
# Debian package -> whether the machine already has what it brings.
PROGRAMS = {
    "bazel-bootstrap": "bazel",
    "g++": "g++",
    "pkg-config": "pkg-config",
}
FILES = {
    "libabsl-dev": "/usr/include/absl/status/statusor.h",
    "libnghttp2-dev": "/usr/include/nghttp2/nghttp2.h",
    "liblmdb-dev": "/usr/include/lmdb.h",
    "zlib1g-dev": "/usr/include/zlib.h",
    "libbenchmark-dev": "/usr/include/benchmark/benchmark.h",
    "libgtest-dev": "/usr/include/gtest/gtest.h",
}
DEV_PROGRAMS = {
    "clang": "clang++",
    "nodejs": "node",
    "npm": "npm",
    "redis-server": "redis-server",
    "strace": "strace",
}
SPARK_PROGRAMS = {"openjdk-17-jre-headless": "java"}
# The fuzzers' run-time library, apart from the compiler that goes with it.
DEV_FILES = {
    "libclang-rt-14-dev": "/usr/lib/clang/14/lib/linux/libclang_rt.fuzzer-x86_64.a",
}
EXIT_NEEDS_ROOT = 3


def missing_packages(groups: list[str]) -> list[str]:
    """Returns the Debian packages whose program or file is not on the machine."""
    programs = PROGRAMS | (DEV_PROGRAMS if "dev" in groups else {})
    programs |= SPARK_PROGRAMS if "spark" in groups else {}
    files = FILES | (DEV_FILES if "dev" in groups else {})
    missing = [name for name, program in programs.items() if not shutil.which(program)]
    missing += [name for name, file in files.items() if not Path(file).exists()]
    return sorted(missing + missing_for_python())


def missing_for_python() -> list[str]:
    """Returns what Debian keeps apart from its python3: headers and ensurepip."""
    missing = []
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        missing.append("python3-dev")
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def apt_line(packages: list[str]) -> str:
    """Returns the command that a person with root has to give."""
    names = " ".join(packages)
    return (
        "sudo apt-get update && "
        f"sudo apt-get install -y --no-install-recommends {names}"
    )


def install_packages(packages: list[str], log: Path) -> None:
    """Installs Debian packages as root; raises CalledProcessError with apt's words."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    Step("apt-get update", log).run(["apt-get", "update"], environment)
    # Another apt may be at work on a fresh machine; a mirror may hiccup.
    patience = ["-oDPkg::Lock::Timeout=120", "-oAcquire::Retries=3"]
    command = ["apt-get", *patience, "install", "-y", "--no-install-recommends"]
    command += packages
    step = Step(f"apt-get install {' '.join(packages)}", log)
    step.run(command, environment, counted="Setting up ")


def lock_hash(group: str) -> str:
    """Returns the hash of a group's lock, the name of what has to be installed."""
    return hashlib.sha256((ROOT / LOCKS[group]).read_bytes()).hexdigest()


def stamp(venv: Path, group: str) -> Path:
    """Returns the file that holds the hash of the lock last installed."""
    return venv / f"stepwell-{group}.sha256"


def is_installed(venv: Path, group: str) -> bool:
    """True when the group's lock is what the environment was filled from."""
    path = stamp(venv, group)
    return path.exists() and path.read_text().strip() == lock_hash(group)


def ensure_venv(venv: Path, log: Path) -> None:
    """Makes the environment; one whose interpreter does not start is made anew."""
    python = venv / "bin" / "python"
    if python.exists():
        if subprocess.run([python, "-c", ""], check=False).returncode == 0:
            return
        shutil.rmtree(venv)
    Step(f"virtual environment {venv}", log).run([sys.executable, "-m", "venv", venv])


def install_group(venv: Path, group: str, log: Path) -> None:
    """Installs one lock and writes its stamp."""
    lock = ROOT / LOCKS[group]
    total = sum("==" in line for line in lock.read_text().splitlines())
    pip = [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "install", "--no-deps", "--progress-bar=off", "-r", lock]
    step = Step(f"Python packages, {group}", log)
    step.run(command, counted="Collecting ", total=total)
    stamp(venv, group).write_text(lock_hash(group) + "\n")


def bootstrap(groups: list[str], say: Callable[[str], None]) -> int:
    """Does what is missing; returns the exit status."""
    log = ROOT / ".cache" / "setup.log"
    log.parent.mkdir(exist_ok=True)
    with open(log.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = missing_packages(groups)
        if packages and os.geteuid() != 0:
            say("stepwell needs Debian packages that only root can install; run:")
            say(f"  {apt_line(packages)}")
            return EXIT_NEEDS_ROOT
        if packages:
            install_packages(packages, log)
        venv = ROOT / ".venv"
        ensure_venv(venv, log)
        for group in groups:
            if not is_installed(venv, group):
                install_group(venv, group, log)
    return 0


def main(argv: list[str]) -> int:
    """Parses the groups and makes the machine ready; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", action="append", choices=LOCKS, default=[])
    args = parser.parse_args(argv)
    # The groups lean on runtime's pins, so it always comes first.
    groups = [group for group in LOCKS if group in ("runtime", *args.group)]
    try:
        return bootstrap(groups, lambda text: print(text, file=sys.stderr))
    except subprocess.CalledProcessError as error:
        print(error.output, file=sys.stderr)
        print(f"stepwell: {error.cmd[0]} failed, see above", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
