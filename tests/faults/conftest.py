"""One small project for each file of faults that asks for it."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.small_project import SmallProject


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> "SmallProject":
    """Trained and published once."""
    # Imported here: training takes seconds to load and most tests do without.
    from integration.small_project import make_small_project

    return make_small_project(tmp_path_factory.mktemp("project"))
