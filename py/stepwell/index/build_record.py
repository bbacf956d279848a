"""What a build that may be cut off notes beside its unfinished index."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    UnavailableError,
)
from stepwell.index.ann_index import Ids, Vectors
from stepwell.index.options import HnswOptions

_HASHED_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """Everything that decides the bytes of an index built by one thread.

    Attributes:
        data_sha256: of ids and vectors, in hex.
        num_items, dim: N and D.
        metric, m, ef_construction, seed, codes, keep_vectors: as in HnswOptions.
        space_hash: in hex.
        int8_limit: largest magnitude of an int8 code, measured before the first item.
        chunk_items: items added at a time.
    """

    data_sha256: str
    num_items: int
    dim: int
    metric: str
    m: int
    ef_construction: int
    seed: int
    codes: str
    keep_vectors: bool
    space_hash: str
    int8_limit: float
    chunk_items: int

    @classmethod
    def of(
        cls, vectors: Vectors, ids: Ids, options: HnswOptions, chunk_items: int
    ) -> "BuildRecord":
        """The record of one build; reads all of the vectors once."""
        return cls(
            data_sha256=_fingerprint(vectors, ids),
            num_items=vectors.shape[0],
            dim=vectors.shape[1],
            metric=options.metric,
            m=options.m,
            ef_construction=options.ef_construction,
            seed=options.seed,
            codes=options.codes,
            keep_vectors=options.keep_vectors,
            space_hash=options.space_hash.hex(),
            int8_limit=options.int8_limit,
            chunk_items=chunk_items,
        )

    @classmethod
    def load(cls, path: Path) -> "BuildRecord":
        """Reads what `save` wrote.

        Raises:
            DataLossError: it is no such record.
        """
        try:
            read = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataLossError(f"{path} cannot be read: {error}") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(read, dict) or set(read) != known:
            raise DataLossError(f"{path} is not the record of a build")
        return cls(**read)

    def save(self, path: Path) -> None:
        """Writes the record whole or not at all.

        Raises:
            UnavailableError: the disk refused.
        """
        temporary = path.with_name(path.name + ".tmp")
        try:
            with temporary.open("w") as file:
                json.dump(asdict(self), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise UnavailableError(f"cannot write {path}: {error}") from error

    def check_same(self, noted: "BuildRecord", path: Path) -> None:
        """Passes when what was cut off is this build.

        Raises:
            FailedPreconditionError: names every field that differs, with both values.
        """
        differing = [
            f"{field.name} was {getattr(noted, field.name)!r} and is now "
            f"{getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(noted, field.name) != getattr(self, field.name)
        ]
        if differing:
            raise FailedPreconditionError(
                f"{path} is of another build: {'; '.join(differing)}"
            )


def _fingerprint(vectors: Vectors, ids: Ids) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(ids, np.int64).tobytes())
    for start in range(0, len(vectors), _HASHED_ROWS):
        rows = vectors[start : start + _HASHED_ROWS]
        digest.update(np.ascontiguousarray(rows, np.float32).data)
    return digest.hexdigest()
