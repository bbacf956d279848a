"""Which columns a model takes of a FeatureBatch, and whose scores are whose."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import FailedPreconditionError
from stepwell.pipeline.query import Scores


def split(scores: Scores, sizes: Sequence[int]) -> list[Scores]:
    """Returns the scores of requests of these many candidates, in their order."""
    ends = np.cumsum(sizes)[:-1]
    totals = np.split(scores.total, ends)
    objectives = np.split(scores.objectives, ends)
    return [
        Scores(total, own, scores.names)
        for total, own in zip(totals, objectives, strict=True)
    ]


def positions_of(
    kind: str, wanted: Sequence[str], present: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Returns int64 [W]: the place of each wanted column among the present ones.

    Raises:
        FailedPreconditionError: names the missing columns; `kind` says of what.
    """
    missing = set(wanted) - set(present)
    if missing:
        raise FailedPreconditionError(
            f"the model takes {kind} features that are not computed: "
            f"{', '.join(sorted(missing))}"
        )
    return np.array([list(present).index(name) for name in wanted], np.int64)


def selection(
    kind: str, wanted: Sequence[str], present: Sequence[str]
) -> npt.NDArray[np.int64] | None:
    """Returns the columns to take, None when they are all and in order.

    Raises:
        FailedPreconditionError: as positions_of.
    """
    positions = positions_of(kind, wanted, present)
    return None if tuple(wanted) == tuple(present) else positions


def taken(
    columns: npt.NDArray[np.generic], positions: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.generic]:
    """Returns the columns that `selection` found, C-contiguous."""
    if positions is None:
        return columns
    # Half the time of an index.
    return columns.take(positions, axis=1)
