"""The views of Stepwell, and where a view is found by its name.

A project with views of its own builds a `FeatureRegistry` of them in code; nothing
global is changed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from stepwell.base.errors import InvalidArgumentError
from stepwell.schema.events import EventType
from stepwell.schema.feature_errors import UnknownViewError, nearest
from stepwell.schema.feature_view import (
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Source,
    WhenStale,
)

DAY_SECONDS = 86_400
SESSION_GAP_SECONDS = 1_800
"""A user who does nothing for so long begins a new session with the next event."""

ACTIVITY_TYPES = (
    EventType.CLICK,
    EventType.ADD_TO_CART,
    EventType.PURCHASE,
    EventType.RATING,
    EventType.DISMISS,
)
"""The events that a user's activity counts. Impressions are none: they are most of the
log, and what was shown is not what the user did."""

ACTIVITY_HALF_LIVES: Mapping[str, int] = MappingProxyType(
    {"1h": 3_600, "1d": DAY_SECONDS, "7d": 7 * DAY_SECONDS, "30d": 30 * DAY_SECONDS}
)
"""Half-lives in seconds by the ending of a feature's name."""

ITEM_ACTIVITY_TYPES = (EventType.CLICK, EventType.PURCHASE)
"""The events that an item's activity counts."""

ITEM_ACTIVITY_HALF_LIVES: Mapping[str, int] = MappingProxyType(
    {name: ACTIVITY_HALF_LIVES[name] for name in ("1h", "1d", "7d")}
)

USER = Entity("user", "user_id")
ITEM = Entity("item", "item_id")
REQUEST = Entity("request", "request_id")

_MAX_COUNT = 1e9
# A thousand times and more what one event may be worth.
_MAX_VALUE = 1e15
_MAX_INT32 = (1 << 31) - 1
_MAX_INT64 = (1 << 63) - 1
_MAX_KEY = (1 << 64) - 1
_MAX_SECONDS = 1 << 40
_WRITER_SECONDS = 600


def _decayed(name: str, meaning: str, high: float = _MAX_COUNT) -> Feature:
    return Feature(name, "float32", 0.0, meaning, 0.0, high)


def _time(name: str, meaning: str) -> Feature:
    return Feature(name, "int64", 0, f"{meaning}, unix s; 0 = never", 0, _MAX_SECONDS)


def _count(name: str, meaning: str) -> Feature:
    return Feature(name, "int32", 0, meaning, 0, _MAX_INT32)


def _history_features() -> tuple[Feature, ...]:
    low = -_MAX_INT64
    top = 3e38
    return (
        Feature("keys", "uint64", 0, "items, most recent first", 0, _MAX_KEY, 0),
        Feature("num_purchases", "int32", 0, "events on each", 0, _MAX_INT32, 0),
        Feature("first_time", "int64", 0, "first event, unix s", low, _MAX_INT64, 0),
        Feature("last_time", "int64", 0, "last event, unix s", low, _MAX_INT64, 0),
        Feature("decayed_count", "float32", 0.0, "decayed by 30 days", 0.0, top, 0),
        Feature("total_value", "float32", 0.0, "sum of values", 0.0, top, 0),
    )


def _counts(
    types: Sequence[EventType], half_lives: Mapping[str, int]
) -> tuple[Feature, ...]:
    return tuple(
        _decayed(f"{name}_decayed_{ending}", f"{name} events, as of {name}_last_time")
        for name in _names(types)
        for ending in half_lives
    )


def _last_times(types: Sequence[EventType]) -> tuple[Feature, ...]:
    return tuple(_time(f"{name}_last_time", f"last {name}") for name in _names(types))


def _names(types: Sequence[EventType]) -> list[str]:
    return [kind.name.lower() for kind in types]


def _activity_features() -> tuple[Feature, ...]:
    spend = "value of purchases, as of purchase_last_time"
    return (
        *_counts(ACTIVITY_TYPES, ACTIVITY_HALF_LIVES),
        _decayed("purchase_value_decayed_7d", spend, _MAX_VALUE),
        _decayed("purchase_value_decayed_30d", spend, _MAX_VALUE),
        _count("session_events", "events of the current session"),
        _count("session_count", f"sessions, {SESSION_GAP_SECONDS} s apart or more"),
        *_last_times(ACTIVITY_TYPES),
        _time("session_start_time", "begin of the current session"),
    )


def _item_activity_features() -> tuple[Feature, ...]:
    return (
        *_counts(ITEM_ACTIVITY_TYPES, ITEM_ACTIVITY_HALF_LIVES),
        *_last_times(ITEM_ACTIVITY_TYPES),
    )


USER_HISTORY = FeatureView(
    name="user_history",
    entity=USER,
    source=Source.STREAM,
    features=_history_features(),
    ttl_seconds=365 * DAY_SECONDS,
    freshness_seconds=_WRITER_SECONDS,
    when_stale=WhenStale.DEFAULT,
    description="what the user did with each item",
)

USER_ACTIVITY = FeatureView(
    name="user_activity",
    entity=USER,
    source=Source.STREAM,
    features=_activity_features(),
    ttl_seconds=90 * DAY_SECONDS,
    freshness_seconds=_WRITER_SECONDS,
    when_stale=WhenStale.DEFAULT,
    description="how much the user does, by kind of event, and the current session",
)

USER_PROFILE = FeatureView(
    name="user_profile",
    entity=USER,
    source=Source.BATCH,
    features=(
        Feature(
            "segment", "uint64", 0, "key of segment=NAME; 0 = unknown", 0, _MAX_KEY
        ),
        Feature(
            "columns",
            "uint64",
            0,
            "keys of column=value, by column; 0 = none",
            0,
            _MAX_KEY,
            16,
        ),
    ),
    ttl_seconds=400 * DAY_SECONDS,
    freshness_seconds=0,
    when_stale=WhenStale.BASELINE,
    description="what the users' table says of the user",
)

ITEM_ACTIVITY = FeatureView(
    name="item_activity",
    entity=ITEM,
    source=Source.STREAM,
    features=_item_activity_features(),
    ttl_seconds=90 * DAY_SECONDS,
    freshness_seconds=_WRITER_SECONDS,
    when_stale=WhenStale.DEFAULT,
    description="what happens to the item of late; kept in local columns, never read "
    "per candidate",
)

REQUEST_CONTEXT = FeatureView(
    name="request_context",
    entity=REQUEST,
    source=Source.REQUEST,
    features=(
        Feature("local_hour", "int32", 12, "hour of day by the caller's clock", 0, 23),
        Feature("local_weekday", "int32", 0, "by that clock; 0 = Monday", 0, 6),
    ),
    ttl_seconds=1,
    freshness_seconds=0,
    when_stale=WhenStale.DEFAULT,
    description="what the caller says of the moment; of the event time where it does "
    "not; stored nowhere",
)

RANKER_SERVICE = FeatureService(
    "ranker",
    (USER_HISTORY, USER_ACTIVITY, USER_PROFILE, ITEM_ACTIVITY, REQUEST_CONTEXT),
)
"""What Stepwell's rankers are served with; its hash is in each release."""

EARLIER_SERVICES = (
    FeatureService(
        "ranker", (USER_HISTORY, USER_ACTIVITY, USER_PROFILE, ITEM_ACTIVITY)
    ),
)
"""What older releases were published with: their rows mean the same today."""

USER_VIEWS = tuple(view for view in RANKER_SERVICE.views if view.entity == USER)
"""Those that the store is asked for with each request."""


class FeatureRegistry:
    """Services and views by name.

    Args:
        services: names are unique; a view of one name is the same in all of them.

    Concurrency: immutable.
    """

    def __init__(self, services: Sequence[FeatureService]) -> None:
        self._services = {service.name: service for service in services}
        if len(self._services) != len(services):
            raise InvalidArgumentError("two services of the registry share a name")
        self._views: dict[str, FeatureView] = {}
        for service in services:
            for view in service.views:
                if self._views.setdefault(view.name, view) != view:
                    raise InvalidArgumentError(
                        f"two definitions of the view {view.name}"
                    )

    @property
    def services(self) -> tuple[FeatureService, ...]:
        """The services, in the order given."""
        return tuple(self._services.values())

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """Each view once, in the order of its first service."""
        return tuple(self._views.values())

    def view(self, name: str) -> FeatureView:
        """Returns the view of that name; UnknownViewError names the nearest."""
        if (view := self._views.get(name)) is None:
            raise UnknownViewError(nearest("view", name, self._views))
        return view

    def service(self, name: str) -> FeatureService:
        """Returns the service of that name; UnknownViewError names the nearest."""
        if (service := self._services.get(name)) is None:
            raise UnknownViewError(nearest("service", name, self._services))
        return service


REGISTRY = FeatureRegistry((RANKER_SERVICE,))
"""The views that `./stepwell features` lists."""
