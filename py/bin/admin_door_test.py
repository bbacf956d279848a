import os
import socket
from pathlib import Path

import pytest

from admin_door import new_socket, runtime_folder
from stepwell.base.errors import PermissionDeniedError


def test_the_folder_of_sockets_is_its_users_alone(tmp_path: Path) -> None:
    folder = runtime_folder(tmp_path)
    assert folder == tmp_path / f"stepwell-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert runtime_folder(tmp_path) == folder


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path) -> None:
    runtime_folder(tmp_path).chmod(0o755)
    with pytest.raises(PermissionDeniedError, match="--admin_socket"):
        runtime_folder(tmp_path)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"stepwell-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionDeniedError):
        runtime_folder(tmp_path)


def test_no_two_servers_take_the_same_socket(tmp_path: Path) -> None:
    paths = {new_socket(tmp_path) for _ in range(100)}
    assert len(paths) == 100
    assert {path.match("admin-*.sock") for path in paths} == {True}


def test_sockets_of_the_dead_are_removed_and_those_of_the_living_stay(
    tmp_path: Path,
) -> None:
    folder = runtime_folder(tmp_path)
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as dead:
        living.bind(str(folder / "admin-1.sock"))
        living.listen()
        dead.bind(str(folder / "admin-2.sock"))
        dead.close()
        runtime_folder(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["admin-1.sock"]
