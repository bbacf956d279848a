"""The hydrator of a release's users: the one place where it is put together."""

from collections.abc import Sequence
from pathlib import Path

from stepwell.base.metrics import Metrics
from stepwell.features.baselines import Baselines
from stepwell.features.catalogue import FeatureCatalogue
from stepwell.features.online_reader import OnlineReader, RowStore
from stepwell.features.user_hydrator import UserHydrator
from stepwell.schema.feature_registry import USER_HISTORY, USER_VIEWS
from stepwell.schema.vocabulary import Vocabulary


class NothingStored:
    """The store of somebody who brings the rows along, as a replay does."""

    def get_rows(
        self,
        rows: Sequence[tuple[str, str]],
        timeout_us: int | None = None,  # noqa: ARG002 - the protocol's
    ) -> list[bytes | None]:
        """Returns nothing for every row."""
        return [None] * len(rows)


class ReleaseUsers:
    """What a release says of users: which views its models take, and their baselines.

    Args:
        directory: of the release.
        catalogue: of its models; the history is read whatever they take.
        vocabulary: its items.
        segment_names: its segments, row 0 is the unknown one.

    Raises:
        DataLossError: the baselines are damaged.
    Concurrency: immutable.
    """

    def __init__(
        self,
        directory: Path,
        catalogue: FeatureCatalogue,
        vocabulary: Vocabulary,
        segment_names: Sequence[str],
    ) -> None:
        self._vocabulary = vocabulary
        self._segment_names = segment_names
        self._baselines = Baselines.load(directory, USER_VIEWS, len(segment_names))
        wanted = {USER_HISTORY.name, *catalogue.views}
        views = [view for view in USER_VIEWS if view.name in wanted]
        self._views = self._baselines.backing(views)

    def hydrator(self, store: RowStore, metrics: Metrics) -> UserHydrator:
        """Returns what makes users' contexts of the rows of a store."""
        reader = OnlineReader(store, self._views, metrics)
        return UserHydrator(
            reader, self._vocabulary, self._segment_names, self._baselines
        )
