"""Builds of hours: in steps, with checkpoints, taken up again after a kill."""

import dataclasses
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
)
from stepwell.index.ann_index import HnswIndex, Ids, Progress, Vectors
from stepwell.index.build_record import BuildRecord
from stepwell.index.extension import load_extension
from stepwell.index.options import HnswOptions

_LIMIT_ROWS = 100_000
"""Rows that the limit of int8 codes is measured on, evenly spread."""

_MIN_NORM = 1e-30


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """When an unfinished index is written.

    Attributes:
        interval_seconds: time between two checkpoints at least. Where writing one takes
            long it is `cost_factor` times as long instead, so that checkpoints take a
            small share of the time.
        chunk_items: items added between two looks at the clock, >= 1.
        cost_factor: see interval_seconds.
    """

    interval_seconds: float = 30.0
    chunk_items: int = 4_096
    cost_factor: float = 20.0


class IndexBuild:
    """Builds one HnswIndex into a file, and survives being killed.

    Beside PATH stand, until it is done, PATH.partial (an index of the first items) and
    PATH.partial.json (what it is a part of: options and the SHA-256 of the data).
    Running the same build again goes on from there; what differs is refused by name.
    With one thread the finished file has the same bytes whether or not the build was
    cut off.

    Args:
        path: where the finished index goes.
        options: of the index. An int8 limit of 0 is measured on all vectors.
        checkpoints: when an unfinished index is written.
        clock: monotonic time.

    Concurrency: one build of a path at a time.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        options: HnswOptions | None = None,
        checkpoints: CheckpointOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._record = self._partial.with_name(self._partial.name + ".json")
        self._options = options or HnswOptions()
        self._checkpoints = checkpoints or CheckpointOptions()
        self._clock = clock or SystemClock()

    @property
    def is_cut_off(self) -> bool:
        """Whether an unfinished index stands beside the path."""
        return self._record.exists() and self._partial.exists()

    def run(
        self,
        vectors: Vectors,
        ids: Ids | None = None,
        progress: Progress | None = None,
        *,
        resume: bool = True,
    ) -> HnswIndex:
        """Builds, or goes on building, saves, and returns the index opened again.

        Args:
            vectors: float32 [N, D]; may be mapped, it is read by chunks.
            ids: int64 [N], unique; 0..N-1 when None.
            progress: called with (items done, N) at the start and after each chunk.
            resume: go on where a build was cut off; else what it left is removed.
        Raises:
            InvalidArgumentError: a bad path, option, vector or id; names the rows.
            FailedPreconditionError: what was cut off is another build; says in what.
            DataLossError: what was cut off is damaged.
            UnavailableError: the disk refused.
        Cost: as HnswIndex.build, and a read of all vectors for their SHA-256.
        """
        if self._path.is_dir():
            raise InvalidArgumentError(f"{self._path} is a directory", "path")
        vectors, numbers = _checked(vectors, ids)
        options = self._with_limit(vectors)
        record = BuildRecord.of(
            vectors, numbers, options, self._checkpoints.chunk_items
        )
        if not resume:
            self._forget()
        index = self._begun(record, options)
        try:
            self._add_rest(index, vectors, numbers, progress)
        except KeyboardInterrupt:
            index.save(self._partial)
            raise
        index.reclaim()
        index.save(self._path)
        self._forget()
        # Its memory goes before the file is mapped in its place.
        del index
        return HnswIndex.open(
            self._path,
            options.space_hash,
            num_threads=options.num_threads,
            background=self._options.background,
        )

    def _with_limit(self, vectors: Vectors) -> HnswOptions:
        # No thread of its own: what is mended when must not be left to chance.
        options = dataclasses.replace(
            self._options, capacity=len(vectors), background=False
        )
        if options.codes != "int8" or options.int8_limit > 0:
            return options
        return dataclasses.replace(
            options, int8_limit=measured_int8_limit(vectors, options.metric)
        )

    def _begun(self, record: BuildRecord, options: HnswOptions) -> HnswIndex:
        """The unfinished index of this build, or an empty one."""
        # A record alone keeps no work: it must not stand in the way of another build.
        if self.is_cut_off:
            try:
                return self._cut_off(record, options)
            except (DataLossError, FailedPreconditionError) as error:
                hint = "resume=False (--no-resume) begins anew"
                raise type(error)(f"{error}; {hint}") from error
        empty = np.empty((0, record.dim), np.float32)
        index = HnswIndex.build(empty, np.empty(0, np.int64), options)
        # Only now: bad options must leave no record that a corrected build meets.
        record.save(self._record)
        return index

    def _cut_off(self, record: BuildRecord, options: HnswOptions) -> HnswIndex:
        record.check_same(BuildRecord.load(self._record), self._record)
        return HnswIndex.open(
            self._partial,
            options.space_hash,
            num_threads=options.num_threads,
            background=False,
        )

    def _add_rest(
        self, index: HnswIndex, vectors: Vectors, ids: Ids, progress: Progress | None
    ) -> None:
        chunk, total = self._checkpoints.chunk_items, len(ids)
        due_us = self._clock.monotonic_us() + self._interval_us()
        done = index.stats().num_items
        while True:
            if progress is not None:
                progress(done, total)
            if done >= total:
                return
            if self._clock.monotonic_us() >= due_us:
                due_us = self._save_checkpoint(index)
            end = min(done + chunk, total)
            _add(index, vectors, ids, slice(done, end))
            done = end

    def _save_checkpoint(self, index: HnswIndex) -> int:
        """Writes the unfinished index; returns when the next one is due."""
        start_us = self._clock.monotonic_us()
        index.save(self._partial)
        end_us = self._clock.monotonic_us()
        cost_us = int((end_us - start_us) * self._checkpoints.cost_factor)
        return end_us + max(self._interval_us(), cost_us)

    def _interval_us(self) -> int:
        return int(self._checkpoints.interval_seconds * 1e6)

    def _forget(self) -> None:
        """Removes what an unfinished build left, also of one killed while writing."""
        # The record last: without it the rest would stay for ever.
        for path in self._path.parent.glob(f"{self._partial.name}.tmp.*"):
            path.unlink(missing_ok=True)
        self._partial.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)


def measured_int8_limit(vectors: Vectors, metric: str) -> float:
    """The limit that HnswIndex.build would choose for int8 codes of these vectors.

    Looks at no more than 100,000 rows, evenly spread.
    """
    step = -(-len(vectors) // _LIMIT_ROWS) or 1
    rows = np.ascontiguousarray(vectors[::step], np.float32)
    if metric == "cosine":
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.maximum(norms, _MIN_NORM)
    return float(load_extension().int8_limit(rows, metric))


def _checked(vectors: Vectors, ids: Ids | None) -> tuple[Vectors, Ids]:
    if vectors.ndim != 2:
        raise InvalidArgumentError(
            f"vectors has shape {vectors.shape}, must be [N, D]", "vectors"
        )
    if ids is None:
        return vectors, np.arange(len(vectors))
    if ids.shape != (len(vectors),):
        raise InvalidArgumentError(
            f"ids has shape {ids.shape}, must be ({len(vectors)},)", "ids"
        )
    values, counts = np.unique(ids, return_counts=True)
    if len(values) != len(ids):
        twice = values[counts > 1][0]
        raise InvalidArgumentError(f"ids has {twice} twice", "ids")
    return vectors, ids


def _add(index: HnswIndex, vectors: Vectors, ids: Ids, rows: slice) -> None:
    try:
        index.upsert(vectors[rows], ids[rows])
    except InvalidArgumentError as error:
        message = f"in the rows from {rows.start} on: {error}"
        raise InvalidArgumentError(message, error.field) from error
