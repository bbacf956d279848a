"""The state folder and the running server's file."""

import os
from pathlib import Path

from project_state import (
    ProjectState,
    RunningServer,
    announce_server,
    running_server,
    withdraw_server,
)


def test_a_living_server_is_found_until_it_is_withdrawn(tmp_path: Path) -> None:
    server = RunningServer("127.0.0.1:1", "127.0.0.1:2", os.getpid(), "generated")
    assert running_server(tmp_path) is None
    announce_server(tmp_path, server)
    assert running_server(tmp_path) == server
    withdraw_server(tmp_path, os.getpid())
    assert running_server(tmp_path) is None


def test_a_server_that_ends_leaves_the_file_of_a_later_one(tmp_path: Path) -> None:
    later = RunningServer("127.0.0.1:3", "127.0.0.1:4", os.getpid(), "generated")
    announce_server(tmp_path, later)
    withdraw_server(tmp_path, os.getpid() + 1)
    assert running_server(tmp_path) == later
    withdraw_server(tmp_path, os.getpid())
    withdraw_server(tmp_path, os.getpid())
    assert running_server(tmp_path) is None


def test_a_dead_server_is_not_found(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    announce_server(tmp_path, RunningServer("a", "b", pid, "generated"))
    assert running_server(tmp_path) is None


def test_every_folder_of_a_data_set_lies_in_its_own(tmp_path: Path) -> None:
    state = ProjectState(tmp_path, "generated")
    for path in (state.dataset, state.registry, state.online_store, state.event_log):
        assert path.parent == tmp_path / ".stepwell" / "generated"
