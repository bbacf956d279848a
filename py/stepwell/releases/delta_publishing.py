"""From a folder with a whole release to one with what differs from another release."""

import mmap
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import numpy as np

from stepwell.base.errors import FailedPreconditionError
from stepwell.releases.delta import MAX_CHAIN, DeltaCache, chain_of, delta_base
from stepwell.releases.delta_patch import patch_bytes, write_patch
from stepwell.releases.delta_runs import runs_between
from stepwell.releases.manifest import (
    PATCH_SUFFIX,
    DeltaBase,
    Manifest,
    ReleaseFile,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import (
    check_files,
    describe_file,
    listed_files,
    read_manifest,
)

_WORK_NAME = "delta_base.tmp"
"""Of a registry; a publish that dies leaves it to the next one."""
_WORTH_SHARE = 0.8
"""A patch of more than this share of its result is not worth its making."""


class DeltaFields(TypedDict, total=False):
    """Those fields of a manifest that only a delta's has."""

    base: DeltaBase
    stored: tuple[ReleaseFile, ...]


def default_base(registry: Path) -> int:
    """Returns the serial that a new delta lies best on: the newest, or its root.

    Raises:
        FailedPreconditionError: the registry has no release.
    """
    versions = DirectorySource(registry).versions()
    if not versions:
        raise FailedPreconditionError(
            f"{registry} has no release that a delta could lie on; publish without "
            "--delta first"
        )
    newest = versions[-1]
    chain = chain_of(newest.directory)
    return newest.serial if len(chain) < MAX_CHAIN else chain[-1]


@contextmanager
def complete_base(registry: Path, serial: int) -> Iterator[tuple[Path, Manifest]]:
    """Gives a release that a delta may lie on, in its complete form.

    Raises:
        FailedPreconditionError: it is not there, or its chain is as long as one may be.
        DataLossError: it is damaged.
    Concurrency: under the registry's lock. What is made for it goes in the end.
    """
    directory = checked_base(registry, serial)
    manifest = parse_manifest(read_manifest(directory))
    # A delta on what is damaged here could be made complete nowhere.
    check_files(directory, listed_files(directory, manifest))
    made = registry / _WORK_NAME
    try:
        yield DeltaCache(made).complete(directory, manifest), manifest
    finally:
        shutil.rmtree(made, ignore_errors=True)


def delta_fields(
    staged: Path, files: tuple[ReleaseFile, ...], old: Path, old_manifest: Manifest
) -> DeltaFields:
    """Leaves in a folder what differs from the base; returns the manifest's fields.

    Args:
        staged: the whole release; unchanged files are removed from it, and changed ones
            become patches where they share enough.
        files: those of the whole release.
        old, old_manifest: the base, complete.
    Raises:
        ValueError: a file's name leaves no room for a patch's.
    Cost: about 2 s a GB that changed.
    """
    before = {file.path: file for file in old_manifest.files}
    stored = []
    for file in files:
        if before.get(file.path) == file:
            (staged / file.path).unlink()
        elif file.path in before and _patched(old / file.path, staged / file.path):
            (staged / file.path).unlink()
            stored.append(describe_file(staged, file.path + PATCH_SUFFIX))
        else:
            stored.append(file)
    return {"base": delta_base(old), "stored": tuple(stored)}


def checked_base(registry: Path, serial: int) -> Path:
    """Returns the directory of a release that a delta may lie on.

    Raises: FailedPreconditionError, as complete_base.
    """
    directory = registry / release_id_of(serial)
    if not directory.is_dir():
        known = [found.directory.name for found in DirectorySource(registry).versions()]
        raise FailedPreconditionError(
            f"the base {directory.name} is not in {registry}, which has "
            f"{', '.join(known) or 'no release'}"
        )
    chain = chain_of(directory)
    if len(chain) >= MAX_CHAIN:
        raise FailedPreconditionError(
            f"{directory.name} lies on {len(chain)} others, which is as many as may "
            f"be; take {release_id_of(chain[-1])} as the base"
        )
    return directory


def _patched(base: Path, result: Path) -> bool:
    """Writes the patch beside the result, when it is worth it."""
    with base.open("rb") as old, result.open("rb") as new:
        mapped_old = mmap.mmap(old.fileno(), 0, access=mmap.ACCESS_READ)
        mapped_new = mmap.mmap(new.fileno(), 0, access=mmap.ACCESS_READ)
        content = np.frombuffer(mapped_new, np.uint8)
        runs = runs_between(mapped_old, content)
        worth = patch_bytes(runs) < _WORTH_SHARE * len(content)
        if worth:
            patch = result.with_name(result.name + PATCH_SUFFIX)
            write_patch(patch, len(mapped_old), memoryview(mapped_new), runs)
        # The maps go when the last view of them does.
        return worth
