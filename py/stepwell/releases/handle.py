"""Borrowing a release: a request holds one from start to end, an old one drains."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from stepwell.base.errors import FailedPreconditionError
from stepwell.releases.manifest import Manifest

Content = TypeVar("Content")


@dataclass(frozen=True)
class Release(Generic[Content]):
    """A verified release in memory.

    Attributes:
        manifest: what was verified.
        directory: where its files lie.
        content: what the loader's constructor built of them.
    """

    manifest: Manifest
    directory: Path
    content: Content


class ReleaseHandle(Generic[Content]):
    """One borrow of a release, given back by `close` or at the end of a `with`.

    Concurrency: used by one request at a time.
    """

    def __init__(self, holder: "ReleaseHolder[Content]") -> None:
        self._holder: ReleaseHolder[Content] | None = holder

    @property
    def release(self) -> Release[Content]:
        """The borrowed release; FailedPreconditionError once it was given back."""
        if self._holder is None:
            raise FailedPreconditionError("the release handle was given back")
        return self._holder.release

    def close(self) -> None:
        """Gives the release back; a second call does nothing."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.give_back()

    def __enter__(self) -> Release[Content]:
        return self.release

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ReleaseHolder(Generic[Content]):
    """Counts the borrows of one release; drained when retired and nobody holds it.

    Args:
        on_drained: called once, by whichever thread gives the last borrow back.

    Concurrency: thread-safe. Cost of a borrow: one uncontended lock, about 0.3 us.
    """

    def __init__(
        self, release: Release[Content], on_drained: Callable[[], None]
    ) -> None:
        self.release = release
        self._on_drained = on_drained
        self._num_borrowed = 0
        self._retired = False
        self._lock = threading.Lock()

    @property
    def num_borrowed(self) -> int:
        """Handles out at this moment."""
        with self._lock:
            return self._num_borrowed

    def try_borrow(self) -> ReleaseHandle[Content] | None:
        """Returns a handle, or None once the release is retired."""
        with self._lock:
            if self._retired:
                return None
            self._num_borrowed += 1
        return ReleaseHandle(self)

    def give_back(self) -> None:
        """Ends one borrow; only its handle calls this."""
        with self._lock:
            self._num_borrowed -= 1
            drained = self._retired and self._num_borrowed == 0
        if drained:
            self._on_drained()

    def retire(self) -> None:
        """Lends no more; drains now or when the last borrow comes back."""
        with self._lock:
            already, self._retired = self._retired, True
            drained = not already and self._num_borrowed == 0
        if drained:
            self._on_drained()
