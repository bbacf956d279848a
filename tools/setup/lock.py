"""Writes the lock files from pyproject.toml and what the environment has installed.

    .venv/bin/python tools/setup/lock.py          write the files
    .venv/bin/python tools/setup/lock.py --check  exit 1 when one is out of date

A lock is the closure of its list over the installed packages, every version exact, so
`pip install --no-deps` of it gives this environment again and asks no resolver. Build
tags of a local wheel ("2.13.0+cpu") are left out: they name no version of an index.
"""

import argparse
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["PackageNotFoundError", "closure", "locks", "main", "rendered"]

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    "runtime": "requirements.lock",
    "bench": "requirements-bench.lock",
    "data": "requirements-data.lock",
    "dev": "requirements-dev.lock",
    "spark": "requirements-spark.lock",
}


# Not installed with the others: where it is missing its lock stays as it is.
BY_HAND = frozenset({"bench", "spark"})


def wanted_lists(pyproject: str) -> dict[str, list[str]]:
    """Returns group -> requirement strings of the text of a pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    return {"runtime": project["dependencies"], **project["optional-dependencies"]}


def closure(requirements: list[str]) -> dict[str, str]:
    """Returns name -> version of all that these requirements pull in, as installed.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    pins: dict[str, str] = {}
    queue = [(Requirement(text), "") for text in requirements]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found = distribution(name)
        needs = [Requirement(text) for text in found.requires or []]
        extras = requirement.extras if name in pins else {"", *requirement.extras}
        queue += [(need, wanted) for wanted in extras for need in needs]
        pins[name] = found.version.split("+")[0]
    return pins


def rendered(group: str, pins: dict[str, str]) -> str:
    """Returns the text of a lock file."""
    lines = [f"{name}=={version}" for name, version in sorted(pins.items())]
    head = f"# {group}: written by tools/setup/lock.py; do not edit."
    return "\n".join([head, *lines]) + "\n"


def locks(pyproject: str) -> dict[str, str]:
    """Returns file name -> text; a package is pinned in the first group that has it.

    Raises:
        PackageNotFoundError: one is not installed, of a group that is not BY_HAND.
    """
    texts: dict[str, str] = {}
    pinned: set[str] = set()
    for group, requirements in wanted_lists(pyproject).items():
        try:
            pins = closure(requirements)
        except PackageNotFoundError:
            if group in BY_HAND:
                continue
            raise
        fresh = {name: pins[name] for name in pins if name not in pinned}
        texts[LOCKS[group]] = rendered(group, fresh)
        pinned |= set(pins)
    return texts


def main(argv: list[str]) -> int:
    """Writes or checks the lock files; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    args = parser.parse_args(argv)
    stale = 0
    for name, text in locks((ROOT / "pyproject.toml").read_text()).items():
        path = ROOT / name
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        print(f"{'out of date' if args.check else 'written'}: {name}")
        if not args.check:
            path.write_text(text)
    return int(bool(stale) and args.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
