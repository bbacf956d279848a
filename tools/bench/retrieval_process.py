"""Memory of a process, and work done in one of its own."""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from bench.retrieval_figures import Floats
from stepwell.base.allocator import return_freed_memory

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_child(
    call: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """Runs a module's function in a fresh process, whose memory is its own alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(call, *args, **kwargs).result()


def anonymous_bytes() -> int:
    """Returns this process's resident memory that is no file's, in bytes.

    What is freed goes back to the system first: malloc keeps as much as it likes of it,
    and most of that was the benchmark's.
    """
    return_freed_memory()
    return _field("/proc/self/status", "RssAnon")


def resident_bytes() -> int:
    """Returns this process's resident memory, mapped files included, in bytes."""
    return _field("/proc/self/smaps_rollup", "Rss")


def proportional_bytes() -> int:
    """Returns the same, a page that n processes share counted as 1/n."""
    return _field("/proc/self/smaps_rollup", "Pss")


def _field(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(f"{path} has no field {name}")


@contextmanager
def as_file(vectors: Floats) -> Iterator[Path]:
    """Lays vectors into a temporary .npy file, which a child maps and never copies."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors)
        yield path
