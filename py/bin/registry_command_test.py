"""The commands that give releases their parts, on a registry and beside a ranker."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from commands import canary, pin, promote, releases, rollback
from project_state import ProjectState, RunningServer, announce_server
from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.releases.signing import SigningKey
from stepwell.releases.vetoes import Veto, Vetoes
from stepwell.serving.admin_listener import Door
from stepwell.serving.server import Listen
from stepwell.serving.tiny_ranker_fixture import OPTIONS, publish, running_ranker

DATA = "generated"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectState:
    """A project whose registry has two releases, the second one live."""
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    state = ProjectState(tmp_path, DATA)
    state.folder.mkdir(parents=True)
    key = SigningKey.load_or_create(state.signing_key)
    for name in ("first", "second"):
        publish(state.registry, key, tmp_path / name)
    return state


def run(command: ModuleType, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(["--data", DATA, *words])))


def said(
    capsys: pytest.CaptureFixture[str], command: ModuleType, *words: str
) -> dict[str, Any]:
    assert run(command, "--json", *words) == 0
    fields: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return fields


def test_each_command_says_what_the_aliases_are_then(
    state: ProjectState, capsys: pytest.CaptureFixture[str]
) -> None:
    back = said(capsys, rollback)
    assert (back["live"], back["previous"]) == ("v000001", "v000002")
    trial = said(capsys, canary, "v000002", "--percent", "2.5", "--shadow")
    assert trial["canary"] == {
        "release": "v000002",
        "percent": 2.5,
        "is_shadow": True,
    }
    assert said(capsys, canary, "--stop")["canary"] is None
    assert said(capsys, promote, "v000002")["live"] == "v000002"
    assert said(capsys, pin, "v000001")["pinned"] == "v000001"
    assert said(capsys, pin, "--none")["pinned"] is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (rollback, ()),
        (promote, ("v000001",)),
        (pin, ("v000001",)),
        (canary, ("v000001", "--percent", "5")),
    ],
)
def test_a_dry_run_changes_nothing(
    state: ProjectState,
    capsys: pytest.CaptureFixture[str],
    command: ModuleType,
    words: tuple[str, ...],
) -> None:
    before = (state.registry / "aliases.json").read_bytes()
    assert said(capsys, command, "--dry-run", *words)["dry_run"]
    assert (state.registry / "aliases.json").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "words", "reason"),
    [
        (canary, (), "give ID and --percent"),
        (canary, ("v000001",), "give ID and --percent"),
        (canary, ("v000001", "--percent", "0"), r"must be in \[0.0001, 100\]"),
        (canary, ("v000001", "--percent", "101"), r"must be in \[0.0001, 100\]"),
        (canary, ("v000001", "--percent", "nan"), r"must be in \[0.0001, 100\]"),
        (canary, ("v000001", "--percent", "51"), "promote it instead"),
        (canary, ("v000001", "--stop"), "--stop takes neither"),
        (pin, (), "give ID or --none"),
        (pin, ("v000001", "--none"), "give ID or --none"),
    ],
)
def test_words_that_do_not_fit_are_named(
    state: ProjectState, command: ModuleType, words: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        run(command, *words)


def test_a_key_that_is_not_there_is_not_made(state: ProjectState) -> None:
    state.signing_key.unlink()
    with pytest.raises(NotFoundError, match=r"signing\.key"):
        run(rollback)
    assert not state.signing_key.exists()


def test_the_list_shows_parts_and_vetoes(
    state: ProjectState, capsys: pytest.CaptureFixture[str]
) -> None:
    Vetoes(state.registry).write(Veto(serial=1, reason="psi", time_seconds=1))
    (state.registry / "v000003").mkdir()
    listed = said(capsys, releases)["releases"]
    assert [one["release"] for one in listed] == ["v000003", "v000002", "v000001"]
    assert [one["parts"] for one in listed] == [[], ["live"], ["previous"]]
    assert listed[2]["veto"] == "psi"
    assert "manifest" in listed[0]["problem"]
    assert run(releases) == 0
    assert "v000002  live" in capsys.readouterr().out


@pytest.fixture
async def beside(state: ProjectState) -> AsyncIterator[ProjectState]:
    """The same with a ranker that looks for releases when it is told to only."""
    options = replace(
        OPTIONS,
        poll_seconds=3_600.0,
        listen=Listen(admin=Door(state.root / "s", None)),
    )
    key = SigningKey.load_or_create(state.signing_key)
    async with running_ranker(state.folder, options, key=key) as ranker:
        address = ranker.ready.admin_address
        announce_server(state.root, RunningServer("", "", 1, DATA, address))
        yield state


async def test_the_server_follows_before_the_command_returns(
    beside: ProjectState, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = await asyncio.to_thread(said, capsys, rollback)
    assert fields["live"] == "v000002"
    assert fields["server"]["live"] == "v000002"
    assert fields["server"]["problems"] == []
    listed = await asyncio.to_thread(said, capsys, releases)
    assert listed["server"]["liveSerial"] == "2"


async def test_a_server_that_refuses_the_release_is_told_with_its_reason(
    beside: ProjectState, capsys: pytest.CaptureFixture[str]
) -> None:
    (beside.registry / "v000001" / "readme.txt").write_text("damaged since")
    assert await asyncio.to_thread(run, promote, "v000001") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "the server does not follow: v000001 is not live" in text
    assert "readme.txt" in text


def test_a_server_that_does_not_answer_is_a_failure_and_the_change_stands(
    state: ProjectState, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = f"unix:{state.root / 'nobody'}"
    assert run(rollback, "--address", nowhere) == 1
    assert "UNAVAILABLE" in capsys.readouterr().out
    with pytest.raises(FailedPreconditionError, match="rolled back"):
        run(rollback)
