"""Which features the views of stored rows give, beside the user's history.

Three kinds: for each view of the user and of the request an indicator that it was
missing, so that a model knows its default from a true value; numbers of the user's row;
numbers of the item's. What a request itself gives is in `request_features`. Counts are
stored as of the last event of their type, and decay until the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stepwell.ops.feature_table import ViewColumns
from stepwell.schema.feature_registry import (
    ACTIVITY_HALF_LIVES,
    ITEM,
    ITEM_ACTIVITY,
    RANKER_SERVICE,
    USER_ACTIVITY,
)
from stepwell.schema.feature_view import FeatureView

RANKER_VIEWS = tuple(view.name for view in RANKER_SERVICE.views)
"""The views that a ranker trained today takes."""

_DECAYED = "_decayed_"


@dataclass(frozen=True, slots=True)
class DecayedFeature:
    """A count or sum of a view's row, decayed to the moment of the question.

    Attributes:
        view: whose rows hold it.
        value: the view's feature: float32, as of `time`.
        time: the view's feature: int64, unix seconds, 0 is never.
        half_life_seconds: after so long it is half as large.
    """

    view: FeatureView
    value: str
    time: str
    half_life_seconds: int

    @property
    def name(self) -> str:
        """The feature's name in the catalogue."""
        return f"{self.view.name}_{self.value}"

    @classmethod
    def of(cls, view: FeatureView, value: str) -> "DecayedFeature":
        """Returns the feature of a view's column TYPE[_value]_decayed_HALFLIFE."""
        what, half_life = value.split(_DECAYED)
        time = f"{what.removesuffix('_value')}_last_time"
        return cls(view, value, time, ACTIVITY_HALF_LIVES[half_life])


USER_FEATURES = tuple(
    DecayedFeature.of(USER_ACTIVITY, value)
    for value in (
        "click_decayed_1h",
        "click_decayed_1d",
        "click_decayed_7d",
        "add_to_cart_decayed_1d",
        "purchase_decayed_1d",
        "purchase_decayed_7d",
        "purchase_decayed_30d",
        "rating_decayed_7d",
        "dismiss_decayed_7d",
        "purchase_value_decayed_7d",
        "purchase_value_decayed_30d",
    )
)
"""Of the user's row, in the order of the catalogue."""

ITEM_FEATURES = tuple(
    DecayedFeature.of(ITEM_ACTIVITY, feature.name)
    for feature in ITEM_ACTIVITY.features
    if _DECAYED in feature.name
)
"""Of the item's row, in the order of the catalogue."""


def indicated_views(views: Sequence[str]) -> tuple[str, ...]:
    """Returns those of `views` that may be missing: all but the items'."""
    known = {view.name for view in RANKER_SERVICE.views if view.entity != ITEM}
    return tuple(name for name in views if name in known)


def decayed_features(
    features: Sequence[DecayedFeature], views: Sequence[str]
) -> tuple[DecayedFeature, ...]:
    """Returns the features that stand in one of `views`."""
    return tuple(feature for feature in features if feature.view.name in views)


def view_columns(features: Sequence[DecayedFeature]) -> ViewColumns:
    """Returns where a packed row of their one view holds the features."""
    if not features:
        return ViewColumns()
    dtype = features[0].view.row_dtype
    places = {name: int(field[1]) for name, field in (dtype.fields or {}).items()}
    return ViewColumns(
        row_bytes=dtype.itemsize,
        value_offsets=[places[feature.value] for feature in features],
        time_offsets=[places[feature.time] for feature in features],
        half_lives=[float(feature.half_life_seconds) for feature in features],
    )
