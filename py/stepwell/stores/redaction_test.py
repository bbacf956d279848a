"""A password in a location stays out of every text."""

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.stores.locations import open_event_log, open_key_value_store
from stepwell.stores.redaction import without_secrets


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/data/online.lmdb", "/data/online.lmdb"),
        ("/data/a@b?c", "/data/a@b?c"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://ann:secret@cache:6379/0", "redis://***@cache:6379/0"),
        ("redis://:se/cr@et@cache/0", "redis://***@cache/0"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock?***"),
        ("redis://ann:sec?ret@cache/0", "redis://***"),
        ("unix:///run/redis.sock?password=sec@ret", "unix://***"),
        ("redis://ann:secret@cache/0?db=1", "redis://***@cache/0?***"),
    ],
)
def test_user_password_and_parameters_are_hidden(location: str, shown: str) -> None:
    assert without_secrets(location) == shown


@pytest.mark.parametrize(
    "location",
    [
        "http://ann:secret@cache:6379/0",
        "redis://ann:secret@cache:port/0",
        "redis://:secret/0@cache/0",
        "redis://cache/0?password=secret&max_connections=many",
    ],
)
def test_errors_about_a_location_do_not_carry_its_password(location: str) -> None:
    for open_store in (open_key_value_store, open_event_log):
        with pytest.raises(InvalidArgumentError) as caught:
            open_store(location)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
