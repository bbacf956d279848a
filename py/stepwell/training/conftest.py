"""A small generated set, imported once."""

from pathlib import Path

import pytest

from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.datasets_generated import GeneratedOptions, write_generated
from stepwell.training.event_table import EventTable
from stepwell.training.import_events import import_events
from stepwell.training.split import Snapshot, snapshot

SMALL = GeneratedOptions(num_users=160, num_items=300, events_per_user=60)


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> EventTable:
    folder = Path(tmp_path_factory.mktemp("generated"))
    write_generated(folder, SMALL)
    return import_events(folder).table


@pytest.fixture(scope="session")
def known(events: EventTable) -> Snapshot:
    """The set as known four weeks before its end."""
    return snapshot(events, int(events.times[-1]) - 28 * DAY_SECONDS)
