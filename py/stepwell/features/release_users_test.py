"""Users of a release: which views are read, from which store."""

from pathlib import Path

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.features.catalogue import FeatureCatalogue
from stepwell.features.release_users import NothingStored, ReleaseUsers
from stepwell.features.view_features import RANKER_VIEWS
from stepwell.pipeline.query import Query
from stepwell.schema.feature_registry import USER_HISTORY, USER_VIEWS
from stepwell.schema.vocabulary import Vocabulary

STORED = [view.name for view in USER_VIEWS]


@pytest.mark.parametrize(
    ("views", "read"), [((), [USER_HISTORY.name]), (RANKER_VIEWS, STORED)]
)
def test_the_store_is_asked_for_the_views_that_models_take_and_the_history(
    tmp_path: Path, views: tuple[str, ...], read: list[str]
) -> None:
    catalogue = FeatureCatalogue((), (), views)
    users = ReleaseUsers(tmp_path, catalogue, Vocabulary.build(["a"]), ("unknown",))
    hydrator = users.hydrator(NothingStored(), Metrics())
    query = Query("r", "ann", 1, 9, Deadline.after_us(FakeClock(), 10_000))
    user = hydrator.hydrate(query, query.deadline)
    assert [view for view, _, _ in user.reads] == read
    assert user.is_cold
    assert sorted(user.defaulted) == sorted(read)
