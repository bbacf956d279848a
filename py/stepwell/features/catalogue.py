"""The one list of features: names, order, transforms, defaults.

Training and serving build the same list from the same two tuples of category columns,
so that a model's columns cannot mean different things in the two places.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepwell.base.errors import FailedPreconditionError
from stepwell.features import view_features
from stepwell.features.view_features import DecayedFeature, decayed_features
from stepwell.models.ranker_config import RankerConfig
from stepwell.pipeline.candidate import FEATURE_SOURCES
from stepwell.schema.feature_registry import RANKER_SERVICE, REQUEST_CONTEXT

MAX_AFFINITY_COLUMNS = 4
FAR_DAYS = 400.0
"""Days that stand for "never"."""
ABSENT_RANK = 1_000.0
"""Rank that stands for "not emitted by this source"."""


@dataclass(frozen=True, slots=True)
class DenseFeature:
    """A dense float32 feature.

    Attributes:
        name: unique; `user_`, `own_`, `affinity_`, `item_`, `source_`, `request_` or
            `missing_` says of what.
        default: the value where the thing it is of does not exist.
        transform: of the model's first layer: "linear" or "log1p".
        meaning: one line, with the unit.
    """

    name: str
    default: float
    transform: str
    meaning: str


USER_FEATURES = (
    DenseFeature("user_trips", 0.0, "log1p", "distinct event times"),
    DenseFeature("user_trips_per_week", 0.0, "log1p", "trips / weeks since the first"),
    DenseFeature("user_items", 0.0, "log1p", "distinct items of the history"),
    DenseFeature("user_basket", 0.0, "log1p", "events a trip"),
    DenseFeature("user_idle_days", FAR_DAYS, "log1p", "days since the last event"),
    DenseFeature("user_novelty", 1.0, "linear", "distinct items / events"),
    DenseFeature("user_recent", 0.0, "log1p", "events decayed by 30 days"),
    DenseFeature("user_span_days", 0.0, "log1p", "days since the first event"),
)

OWN_FEATURES = (
    DenseFeature("own_is", 0.0, "linear", "1 when the item is in the history"),
    DenseFeature("own_count", 0.0, "log1p", "the user's events on the item"),
    DenseFeature("own_recent", 0.0, "log1p", "those decayed by 30 days to now"),
    DenseFeature("own_recent_at_last", 0.0, "log1p", "the same as of the last event"),
    DenseFeature("own_recent_7", 0.0, "log1p", "the same, then by 7 days to now"),
    DenseFeature(
        "own_recent_90", 0.0, "log1p", "events decayed by 90 days, middle age"
    ),
    DenseFeature("own_idle_days", FAR_DAYS, "log1p", "days since the last event on it"),
    DenseFeature("own_age_days", FAR_DAYS, "log1p", "days since the first event on it"),
    DenseFeature("own_interval_days", FAR_DAYS, "log1p", "days between, smoothed"),
    DenseFeature("own_due", 0.0, "log1p", "idle days / interval"),
    DenseFeature("own_per_day", 0.0, "linear", "events a day since the first"),
    DenseFeature("own_trip_share", 0.0, "linear", "events / the user's trips"),
    DenseFeature("own_value", 0.0, "log1p", "mean value of an event"),
    DenseFeature("own_recent_share", 0.0, "linear", "own_recent / user_recent"),
    DenseFeature("own_rank", 5_000.0, "log1p", "place in the history by own_recent"),
)

ITEM_FEATURES = (
    DenseFeature("item_events", 0.0, "log1p", "positive events"),
    DenseFeature("item_buyers", 0.0, "log1p", "distinct users"),
    DenseFeature("item_buyers_7d", 0.0, "log1p", "distinct users, last week"),
    DenseFeature("item_buyers_28d", 0.0, "log1p", "distinct users, last 4 weeks"),
    DenseFeature("item_buyers_84d", 0.0, "log1p", "distinct users, last 12 weeks"),
    DenseFeature("item_decayed_7d", 0.0, "log1p", "events decayed by 7 days"),
    DenseFeature("item_decayed_21d", 0.0, "log1p", "events decayed by 21 days"),
    DenseFeature("item_decayed_60d", 0.0, "log1p", "events decayed by 60 days"),
    DenseFeature("item_decayed_120d", 0.0, "log1p", "events decayed by 120 days"),
    DenseFeature("item_repeat_share", 0.0, "linear", "buyers with two events or more"),
    DenseFeature("item_interval_days", 30.0, "log1p", "mean days between repeats"),
    DenseFeature("item_price", 0.0, "log1p", "mean value of an event"),
    DenseFeature("item_trend", 0.0, "linear", "log buyers of a week / of a mean week"),
    DenseFeature("item_momentum", 0.0, "linear", "log decayed 21 d / 120 d"),
    DenseFeature("item_age_days", 0.0, "log1p", "days since first seen"),
    DenseFeature("item_idle_days", FAR_DAYS, "log1p", "days since last seen"),
    DenseFeature("item_price_fit", 0.0, "linear", "log item price / user's mean value"),
)

REQUEST_FEATURES = (
    DenseFeature("request_hour_sin", 0.0, "linear", "sine of the hour, of 24"),
    DenseFeature("request_hour_cos", -1.0, "linear", "cosine of the hour, of 24"),
    DenseFeature("request_weekday_sin", 0.0, "linear", "sine of the weekday, of 7"),
    DenseFeature("request_weekday_cos", 1.0, "linear", "cosine of the weekday, of 7"),
    DenseFeature("request_is_weekend", 0.0, "linear", "1 on Saturday and Sunday"),
)
"""By the caller's clock; their values are those of `request_features`."""

_AFFINITY = (
    DenseFeature("recent", 0.0, "log1p", "user's events there decayed by 30 days"),
    DenseFeature("items", 0.0, "log1p", "user's distinct items there"),
    DenseFeature("count", 0.0, "log1p", "user's events there"),
    DenseFeature("idle_days", FAR_DAYS, "log1p", "days since the last event there"),
    DenseFeature("own_share", 0.0, "linear", "own_recent / recent"),
    DenseFeature("variety", 0.0, "linear", "items / count: new items are tried there"),
    DenseFeature("user_share", 0.0, "linear", "recent / user_recent"),
    DenseFeature("price_fit", 0.0, "linear", "log item price / user's value there"),
    DenseFeature("item_share", 0.0, "linear", "item's part of its 4-week buyers"),
)
AFFINITY_FEATURE_COUNT = len(_AFFINITY)

SEGMENT_FEATURE = "user_segment"
"""The sparse feature of the user; the others are the item's categories."""


@dataclass(frozen=True, slots=True)
class FeatureCatalogue:
    """The features of one release.

    Attributes:
        affinity_columns: item categories with affinity features, at most 4.
        embedded_columns: item categories given to the models as rows of a table.
        views: the views of stored rows whose features the models take; none in
            releases from before there were any.
        dense: F features in the order of FeatureBatch.dense.
        sparse_names: T names in the order of FeatureBatch.sparse; the segment is last.

    Raises:
        ValueError: too many affinity columns.
        UnknownViewError: there is no view of such a name.
    """

    affinity_columns: tuple[str, ...]
    embedded_columns: tuple[str, ...]
    views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.affinity_columns) > MAX_AFFINITY_COLUMNS:
            raise ValueError(
                f"affinity_columns has {len(self.affinity_columns)} entries, "
                f"must be in [0, {MAX_AFFINITY_COLUMNS}]"
            )
        for view in self.views:
            RANKER_SERVICE.view(view)

    @property
    def dense(self) -> tuple[DenseFeature, ...]:
        """The F dense features."""
        affinity = (
            DenseFeature(
                f"affinity_{column}_{part.name}",
                part.default,
                part.transform,
                f"{part.meaning} ({column})",
            )
            for column in self.affinity_columns
            for part in _AFFINITY
        )
        return (
            *USER_FEATURES,
            *OWN_FEATURES,
            *ITEM_FEATURES,
            *_source_features(),
            *affinity,
            *_missing_indicators(self.views),
            *_decayed(self.user_features),
            *self.request_features,
            *_decayed(self.item_features),
        )

    @property
    def user_features(self) -> tuple[DecayedFeature, ...]:
        """Those of `dense` that are numbers of a user's stored row."""
        return decayed_features(view_features.USER_FEATURES, self.views)

    @property
    def item_features(self) -> tuple[DecayedFeature, ...]:
        """Those of `dense` that are numbers of an item's stored row."""
        return decayed_features(view_features.ITEM_FEATURES, self.views)

    @property
    def request_features(self) -> tuple[DenseFeature, ...]:
        """Those of `dense` that are the request's own."""
        return REQUEST_FEATURES if REQUEST_CONTEXT.name in self.views else ()

    @property
    def dense_names(self) -> tuple[str, ...]:
        """Names of the F dense features."""
        return tuple(feature.name for feature in self.dense)

    @property
    def sparse_names(self) -> tuple[str, ...]:
        """Names of the T sparse features."""
        return (*self.embedded_columns, SEGMENT_FEATURE)

    def schema_hash(self) -> str:
        """SHA-256 in hex of names, order, transforms and defaults."""
        lines = [f"{f.name} {f.transform} {f.default!r}" for f in self.dense]
        text = "\n".join([*lines, *self.sparse_names])
        return hashlib.sha256(text.encode()).hexdigest()


def catalogue_for(config: RankerConfig) -> FeatureCatalogue:
    """Returns the catalogue that a release's models were trained on.

    Raises:
        FailedPreconditionError: this version computes other features than that one.
    """
    catalogue = FeatureCatalogue(
        config.affinity_columns, config.embedded_columns, config.views
    )
    if catalogue.schema_hash() != config.feature_schema_hash:
        raise FailedPreconditionError(
            f"the release's features have schema {config.feature_schema_hash[:16]}, "
            f"this version computes {catalogue.schema_hash()[:16]}: train again"
        )
    return catalogue


def _source_features() -> tuple[DenseFeature, ...]:
    scores = (
        DenseFeature(f"source_{name}_score", 0.0, transform, f"score by {name}")
        for name, transform in zip(FEATURE_SOURCES, _SOURCE_TRANSFORMS, strict=True)
    )
    ranks = (
        DenseFeature(f"source_{name}_rank", ABSENT_RANK, "log1p", f"rank by {name}")
        for name in FEATURE_SOURCES
    )
    return (*scores, *ranks)


def _missing_indicators(views: Sequence[str]) -> Iterator[DenseFeature]:
    for view in view_features.indicated_views(views):
        meaning = f"1 where {view} was missing or stale"
        yield DenseFeature(f"missing_{view}", 1.0, "linear", meaning)


def _decayed(features: Sequence[DecayedFeature]) -> Iterator[DenseFeature]:
    for feature in features:
        meaning = f"{feature.value}, decayed to now"
        yield DenseFeature(feature.name, 0.0, "log1p", meaning)


# Cosine-like scores may be negative: no logarithm.
_SOURCE_TRANSFORMS = ("log1p", "linear", "linear", "log1p", "log1p")
