"""Rows that stand in for a user's own where the view says so: the last batch's typical.

A release keeps one row a segment for each view whose answer to a missing or stale row
is BASELINE. Training makes them of the users' rows as of its cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import FeatureView, RowValues, WhenStale

BASELINES_NAME = "feature_baselines.safetensors"

Rows = npt.NDArray[Any]
"""A structured array [N] of a view's `row_dtype`."""


class Baselines:
    """Typical rows by view and segment.

    Args:
        rows: by view's name the rows [S] of the release's segments; row 0 is that of
            all users together.

    Concurrency: immutable.
    """

    def __init__(self, rows: Mapping[str, Rows]) -> None:
        for of_segments in rows.values():
            of_segments.flags.writeable = False
        self._rows = dict(rows)

    def __contains__(self, view: str) -> bool:
        return view in self._rows

    def row(self, view: str, segment_row: int) -> RowValues:
        """Returns the read-only row of a view that is in it, for a user of a segment.

        Args:
            segment_row: of the release; 0 where the user's segment is unknown.
        """
        return self._rows[view][segment_row : segment_row + 1].reshape(())

    def backing(self, views: Sequence[FeatureView]) -> list[FeatureView]:
        """Returns the views; one whose baseline is not kept here says DEFAULT instead.

        So what is counted as a baseline was one.
        """
        return [
            replace(view, when_stale=WhenStale.DEFAULT)
            if view.when_stale is WhenStale.BASELINE and view.name not in self
            else view
            for view in views
        ]

    @classmethod
    def of_users(
        cls, users: Sequence[tuple[int, Sequence[FeatureRow]]], num_segments: int
    ) -> "Baselines":
        """Returns the typical rows of users whose views say BASELINE.

        A number's typical value is the mean where it is a float, else the most frequent
        value. A segment without any row has that of all users.

        Args:
            users: each one's segment row and rows, of any views.
        """
        kept: dict[FeatureView, list[tuple[int, bytes]]] = {}
        for segment, rows in users:
            for row in rows:
                if row.view.when_stale is WhenStale.BASELINE:
                    kept.setdefault(row.view, []).append((segment, row.body))
        return cls(
            {
                view.name: _by_segment(view, bodies, num_segments)
                for view, bodies in kept.items()
            }
        )

    def save(self, directory: Path) -> None:
        """Writes them among a release's artifacts."""
        tensors = {name: rows.view(np.uint8) for name, rows in self._rows.items()}
        save_file(tensors, directory / BASELINES_NAME)

    @classmethod
    def load(
        cls, directory: Path, views: Sequence[FeatureView], num_segments: int
    ) -> "Baselines":
        """Reads what `save` wrote, of these views; none where there is no file.

        Raises:
            DataLossError: the file is damaged, or rows are of another size or number.
        """
        path = directory / BASELINES_NAME
        if not path.exists():
            return cls({})
        try:
            tensors = load_file(path)
            rows = {
                view.name: tensors[view.name].view(view.row_dtype)
                for view in views
                if view.name in tensors
            }
        except (SafetensorError, OSError, ValueError) as error:
            raise DataLossError(f"{path}: {error}") from error
        for name, found in rows.items():
            if found.shape != (num_segments,):
                raise DataLossError(
                    f"{path}: {name} has rows {found.shape}, must be ({num_segments},)"
                )
        return cls(rows)


NO_BASELINES = Baselines({})
"""Of a release that keeps none: defaults stand in."""


def _by_segment(
    view: FeatureView, bodies: Sequence[tuple[int, bytes]], num_segments: int
) -> Rows:
    rows = np.frombuffer(b"".join(body for _, body in bodies), view.row_dtype)
    segments = np.array([segment for segment, _ in bodies])
    typical = np.repeat(_typical(rows), num_segments)
    for segment in set(segments.tolist()) - {0}:
        typical[segment] = _typical(rows[segments == segment])[0]
    return typical


def _typical(rows: Rows) -> Rows:
    """Returns one row [1]: feature by feature the mean, or the most frequent value."""
    typical = np.zeros(1, rows.dtype)
    for name in rows.dtype.names or ():
        values = rows[name]
        if values.dtype.kind == "f":
            typical[name] = values.mean(axis=0, dtype=np.float64)
        else:
            columns = values.reshape(len(values), -1).T
            typical[name] = np.reshape([_mode(c) for c in columns], typical[name].shape)
    return typical


def _mode(values: npt.NDArray[Any]) -> Any:
    """The most frequent value, of several the lowest."""
    found, counts = np.unique(values, return_counts=True)
    return found[np.argmax(counts)]
