"""What the commands that read an event log share: arguments, user state, a bar."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile

OnProgress = Callable[[str, int, int], None]
"""Told of a phase, how many lines of it are done, and of how many."""


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --data and --event-log."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data",
        choices=DATA_SETS,
        default=DEFAULT_DATA_SET,
        help="data set whose folders are the defaults below (default: %(default)s)",
    )
    parser.add_argument(
        "--event-log", metavar="WHERE", help="the log: a folder or redis://host:port/0"
    )


def add_user_state_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --user-state, see `user_state_of`."""
    parser.add_argument(
        "--user-state",
        type=Path,
        metavar="FILE",
        help=f"what the store began with (default: {USER_STATE_NAME} of the training)",
    )


def user_state_of(
    args: argparse.Namespace, state: ProjectState
) -> UserStateFile | None:
    """Returns the users' state that was asked for, None where there is none by default.

    Raises:
        NotFoundError, DataLossError: the file that was named cannot be read.
    """
    path = args.user_state or state.training / USER_STATE_NAME
    if args.user_state is None and not path.exists():
        return None
    return UserStateFile.load(path)


@contextmanager
def line_progress(*phases: str, quiet: bool) -> Iterator[OnProgress]:
    """Lends a bar a phase on the error stream; `quiet` shows none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet, transient=True) as progress:
        tasks = {phase: progress.add_task(phase, total=None) for phase in phases}

        def on_progress(phase: str, done: int, total: int) -> None:
            progress.update(tasks[phase], completed=done, total=total)

        yield on_progress
