"""A ranker that cannot start says why."""

from pathlib import Path

import pytest

from project_state import ProjectState, running_server
from ranker_process import RankerProcess
from stepwell.base.errors import UnavailableError


def test_a_ranker_that_ends_at_once_is_an_error_with_its_last_words(
    tmp_path: Path,
) -> None:
    state = ProjectState(tmp_path, "generated")
    with pytest.raises(UnavailableError, match=r"there is no key .*trusted_key\.pem"):
        RankerProcess.start(state)
    assert running_server(tmp_path) is None


def test_wrong_flags_are_an_error_with_their_name(tmp_path: Path) -> None:
    state = ProjectState(tmp_path, "generated")
    with pytest.raises(UnavailableError, match="no_such_flag"):
        RankerProcess.start(state, flags=["--no_such_flag=1"])
