"""Promote, pin and roll back under callers, over two processes, by the commands."""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from commands import canary, pin, promote, releases, rollback
from integration.callers import PATIENT, Callers
from integration.small_project import SmallProject
from project_state import ProjectState
from server_process import ServerProcess, server_process
from stepwell.client.sync_client import RecommendClient
from stepwell.releases.manifest import ReleaseMetadata, parse_manifest
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey

CONNECTIONS = 8
"""As many as it takes to have reached both processes."""


@dataclass
class Site:
    """Two releases, the second one live, and two processes that serve them.

    The processes look for releases by themselves once an hour.
    """

    state: ProjectState
    server: ServerProcess
    socket: Path
    user_ids: list[str]

    def run(self, command: ModuleType, *words: str) -> int:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        arguments = ["--registry", str(self.state.registry), "--json", *words]
        if command is not releases:
            arguments += ["--key", str(self.state.signing_key)]
        arguments += ["--address", f"unix:{self.socket}"]
        return int(command.run(parser.parse_args(arguments)))

    def answering(self) -> set[str]:
        """The releases of answers over several connections, some to each process."""
        found = set()
        for number in range(CONNECTIONS):
            with RecommendClient(self.server.address, PATIENT) as client:
                answer = client.recommend(self.user_ids[number], 5)
                found.add(answer.served_by.release_id)
        return found


@pytest.fixture(scope="module")
def site(
    project: SmallProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("rollout")
    state = ProjectState(root, project.state.data)
    shutil.copytree(project.state.folder, state.folder)
    first = state.registry / "v000001"
    manifest = parse_manifest((first / "manifest.json").read_bytes())
    metadata: ReleaseMetadata = manifest.metadata
    key = SigningKey.load_or_create(state.signing_key)
    Publisher(state.registry, key).publish(first, metadata)
    socket = root / "s"
    flags = SmallProject(state).flags(
        "--workers=2", "--poll_seconds=3600", f"--admin_socket={socket}"
    )
    with server_process("ranker_main", flags) as server:
        yield Site(state, server, socket, project.user_ids)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return fields


def test_a_command_returns_when_every_process_follows_and_no_call_fails(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.answering() == {"v000002"}
    with Callers(site.server.address, site.user_ids) as callers:
        for command, words, expected in (
            (rollback, (), "v000001"),
            (promote, ("v000002",), "v000002"),
            (pin, ("v000001",), "v000001"),
            (pin, ("--none",), "v000002"),
            (rollback, (), "v000001"),
            (promote, ("v000002",), "v000002"),
        ):
            assert site.run(command, *words) == 0
            assert last_line(capsys)["server"]["problems"] == []
            assert site.answering() == {expected}
    assert callers.errors == []
    assert callers.num_answers > 0


def test_the_users_of_a_trial_are_the_same_in_every_process(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.run(rollback) == 0
    assert site.run(canary, "v000002", "--percent", "40") == 0
    users = site.user_ids[:40]
    answered: dict[str, set[str]] = {user: set() for user in users}
    for _ in range(CONNECTIONS):
        with RecommendClient(site.server.address, PATIENT) as client:
            for user in users:
                answer = client.recommend(user, 5)
                answered[user].add(answer.served_by.release_id)
    assert {len(releases) for releases in answered.values()} == {1}
    on_trial = [user for user in users if answered[user] == {"v000002"}]
    assert 0 < len(on_trial) < len(users)
    capsys.readouterr()
    assert site.run(releases) == 0
    server = last_line(capsys)["server"]
    shares = [one["view"]["canary"]["sharePpm"] for one in server["workers"]]
    assert shares == [400_000, 400_000]
    assert site.run(canary, "--stop") == 0
    assert site.answering() == {"v000001"}
