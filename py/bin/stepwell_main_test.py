"""The command line: every command is listed, only the chosen one is loaded."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from absl import flags

import command_table
import stepwell_main
from stepwell.base.errors import NotFoundError

COMMANDS = Path(__file__).parent / "commands"


@pytest.fixture(autouse=True)
def _flags_of_no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another program's module, imported by a test of the same run, has required flags.
    monkeypatch.setattr(flags, "FLAGS", flags.FlagValues())


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    # Commands log to the standard error of their test, which ends with it.
    yield
    structlog.reset_defaults()


def test_every_command_of_the_table_has_a_module() -> None:
    modules = {path.stem.rstrip("_") for path in COMMANDS.glob("*.py")}
    assert {command.name for command in command_table.COMMANDS} <= modules


def test_the_chosen_command_gets_its_arguments() -> None:
    args = stepwell_main.parse(["stepwell", "test", "--coverage", "//py/..."])
    assert args.command == "test"
    assert args.coverage
    assert args.targets == ["//py/..."]


def test_arguments_after_two_dashes_go_to_bazel() -> None:
    args = stepwell_main.parse(["stepwell", "test", "--", "--test_output=all", "//a"])
    assert args.targets == ["--test_output=all", "//a"]


def test_a_command_that_was_not_chosen_is_not_imported() -> None:
    sys.modules.pop("commands.lint", None)
    stepwell_main.parse(["stepwell", "test"])
    assert "commands.lint" not in sys.modules


def test_an_unknown_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        stepwell_main.parse(["stepwell", "tset"])
    assert stop.value.code == 2
    assert "tset" in capsys.readouterr().err


def test_help_names_every_command_with_an_example() -> None:
    text = command_table.help_text()
    for command in command_table.COMMANDS:
        assert f"./stepwell {command.example}" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_exit_status_is_the_commands_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = stepwell_main.parse(["stepwell", "test"])
    args.run = lambda _: 7
    assert stepwell_main.main(args) == 7
    assert stepwell_main.main(stepwell_main.parse(["stepwell"])) == 0
    assert "./stepwell demo" in capsys.readouterr().out


def test_a_deliberate_error_is_one_sentence_and_a_bug_is_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(error: Exception) -> argparse.Namespace:
        def run(_: argparse.Namespace) -> int:
            raise error

        return argparse.Namespace(command="serve", run=run)

    assert stepwell_main.main(fails(NotFoundError("no release in x"))) == 1
    assert capsys.readouterr().err == "stepwell serve: no release in x\n"
    with pytest.raises(ZeroDivisionError):
        stepwell_main.main(fails(ZeroDivisionError()))
