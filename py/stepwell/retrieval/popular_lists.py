"""The lists that need no user: popular by segment and overall, trending, new."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError
from stepwell.pipeline.candidate import SourceResult


@dataclass(frozen=True, slots=True)
class PopularLists:
    """Best-first item rows with their scores, as of the release's cut.

    Attributes:
        global_rows: int32 [K], by recent distinct buyers. global_scores: float32 [K].
        segment_rows: int32 [G, K], row g is segment g, -1 pads; row 0 is the unknown
            segment and equals the global list. segment_scores: float32 [G, K].
        trending_rows: int32 [K], by growth. trending_scores: float32 [K].
        segment_names: G names, "" first.
        new_rows: int32 [M], items that came into the catalogue lately, the most bought
            first; none in releases made before there was this list.

    Concurrency: immutable.
    """

    global_rows: npt.NDArray[np.int32]
    global_scores: npt.NDArray[np.float32]
    segment_rows: npt.NDArray[np.int32]
    segment_scores: npt.NDArray[np.float32]
    trending_rows: npt.NDArray[np.int32]
    trending_scores: npt.NDArray[np.float32]
    segment_names: tuple[str, ...]
    new_rows: npt.NDArray[np.int32] = field(
        default_factory=lambda: np.zeros(0, np.int32)
    )

    def segment_row(self, segment: str) -> int:
        """Returns the row of a segment's name; 0 when this release does not know it."""
        try:
            return self.segment_names.index(segment)
        except ValueError:
            return 0

    def popular(self, segment_row: int, limit: int) -> SourceResult:
        """Returns the segment's list, filled up from the global one; at most `limit`.

        A row outside [0, G) is the unknown segment. Scores fall along the list: fill-up
        items are scaled below the segment's last.
        """
        row = segment_row if 0 <= segment_row < len(self.segment_rows) else 0
        own = self.segment_rows[row]
        held = int((own >= 0).sum())
        rows, scores = own[:held], self.segment_scores[row][:held]
        if held < limit and row:
            fill = ~np.isin(self.global_rows, rows)
            more, extra = self.global_rows[fill], self.global_scores[fill]
            top = float(scores[-1]) if held else 1.0
            if len(extra) and extra[0] > 0:
                extra = extra * np.float32(0.999 * top / extra[0])
            rows, scores = np.append(rows, more), np.append(scores, extra)
        return SourceResult(rows[:limit].astype(np.int64), scores[:limit])

    def trending(self, limit: int) -> SourceResult:
        """Returns the trending items, at most `limit`."""
        rows = self.trending_rows[:limit].astype(np.int64)
        return SourceResult(rows, self.trending_scores[:limit])

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        arrays = [n for n in self.__slots__ if n != "segment_names"]
        tensors = {n: np.ascontiguousarray(getattr(self, n)) for n in arrays}
        names = [name.encode() for name in self.segment_names]
        tensors["segment_name_bytes"] = np.frombuffer(b"".join(names), np.uint8)
        lengths = np.array([0, *map(len, names)], np.int64)
        tensors["segment_name_offsets"] = np.cumsum(lengths)
        save_file(tensors, path)

    @classmethod
    def load(cls, path: Path) -> "PopularLists":
        """Reads what `save` wrote.

        Raises:
            DataLossError: a tensor is missing or shapes differ.
        """
        tensors = load_file(path)
        try:
            blob = tensors.pop("segment_name_bytes").tobytes()
            offsets = tensors.pop("segment_name_offsets")
            names = tuple(blob[a:b].decode() for a, b in pairwise(offsets))
            lists = cls(**tensors, segment_names=names)
        except (KeyError, TypeError) as error:
            raise DataLossError(f"{path}: not a file of popular lists") from error
        shapes = (lists.segment_rows.shape, lists.segment_scores.shape)
        if shapes[0] != shapes[1] or len(names) != shapes[0][0]:
            raise DataLossError(f"{path}: segment lists have shapes {shapes}")
        return lists
