"""Which events are history: what training says and what serving understands."""

import pytest

from stepwell.base.errors import DataLossError
from stepwell.schema.events import (
    HISTORY_EVENT_TYPES,
    HISTORY_MODEL,
    EventType,
    history_config,
    history_types_of,
)


def test_serving_understands_what_training_wrote() -> None:
    held = [EventType.PURCHASE, EventType.RATING, EventType.IMPRESSION]
    config = history_config(int(kind) for kind in held)
    assert config == {"event_types": ["purchase", "rating"]}
    types = history_types_of({HISTORY_MODEL: config})
    assert types == {EventType.PURCHASE, EventType.RATING}


def test_a_release_that_says_nothing_takes_all_positive_feedback() -> None:
    assert history_types_of({"full": {"num_dense": 3}}) == HISTORY_EVENT_TYPES


@pytest.mark.parametrize(
    "config",
    [
        7,
        {},
        {"event_types": []},
        {"event_types": "purchase"},
        {"event_types": ["impression"]},
        {"event_types": ["purchase", "theft"]},
        {"event_types": [4]},
        {"event_types": [["purchase"]]},
    ],
)
def test_an_entry_that_training_does_not_write_is_refused(config: object) -> None:
    with pytest.raises(DataLossError, match=r"models.user_history is .* click"):
        history_types_of({HISTORY_MODEL: config})
