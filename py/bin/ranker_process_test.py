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


def test_a_second_start_keeps_what_the_first_one_said(tmp_path: Path) -> None:
    state = ProjectState(tmp_path, "generated")
    state.server_log.parent.mkdir(parents=True)
    state.server_log.write_text("the first one's words\n")
    with pytest.raises(UnavailableError) as caught:
        RankerProcess.start(state, flags=["--no_such_flag=1"])
    assert "first one's words" not in str(caught.value)
    log = state.server_log.read_text()
    assert log.startswith("the first one's words\n")
    assert "no_such_flag" in log
