"""One small project and one ranker on it for each test process that asks for them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.small_project import SmallProject
    from server_process import ServerProcess
    from stepwell.client.sync_client import RecommendClient


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> "SmallProject":
    """Trained and published once."""
    # Imported here: training takes seconds to load and most tests do without.
    from integration.small_project import make_small_project

    return make_small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def ranker(project: "SmallProject") -> "Iterator[ServerProcess]":
    """A ranker that no test may end."""
    from server_process import server_process

    with server_process("ranker_main", project.flags()) as server:
        yield server


@pytest.fixture(scope="session")
def client(ranker: "ServerProcess") -> "Iterator[RecommendClient]":
    """A patient client of that ranker."""
    from stepwell.client.attempts import ClientOptions
    from stepwell.client.sync_client import RecommendClient

    with RecommendClient(ranker.address, ClientOptions(deadline_ms=20_000)) as client:
        yield client
