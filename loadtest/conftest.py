"""A running shop for every test that asks for one."""

from collections.abc import Iterator

import pytest

from tiny_shop import Shop, serving


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop that answers at once, on a port of its own."""
    with serving(Shop()) as running:
        yield running
