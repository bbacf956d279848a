"""A whole project in a temporary folder: generated data, trained, published."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from commands.publish import PublishPlan, publish
from project_state import ProjectState
from stepwell.feedback.user_state_file import USER_STATE_NAME
from stepwell.training.datasets_generated import GeneratedOptions, write_generated
from stepwell.training.training_config import QUICK
from stepwell.training.training_run import RunOptions, run_training

# The catalogue (items of 5 events or more) outgrows the largest slate.
SMALL = GeneratedOptions(num_users=150, num_items=1_500, events_per_user=200)


@dataclass(frozen=True, slots=True)
class SmallProject:
    """A published release and its online store; servers may come and go."""

    state: ProjectState

    @property
    def user_ids(self) -> list[str]:
        """Every user with a history."""
        return [f"u{row:07d}" for row in range(SMALL.num_users)]

    def flags(self, *more: str) -> list[str]:
        """Flags of a ranker_main that serves this project; a later one wins."""
        return [
            f"--registry={self.state.registry}",
            f"--store={self.state.online_store}",
            f"--event_log={self.state.event_log}",
            "--event_clock=release",
            # A loaded test machine is no reason to degrade.
            "--latency_budget_ms=20000",
            "--default_deadline_ms=20000",
            "--apply_wait_ms=20000",
            *more,
        ]

    def logging_flags(self, folder: Path) -> list[str]:
        """Flags of a ranker_main over a copy of the store, with a log of its own.

        The log is `folder`/events.lmdb, and every answer in it can be computed again.
        """
        shutil.copytree(self.state.online_store, folder / "online.lmdb")
        return self.flags(
            f"--store={folder / 'online.lmdb'}",
            f"--event_log={folder / 'events.lmdb'}",
            "--replayable_share=1",
        )


def make_small_project(root: Path) -> SmallProject:
    """Trains and publishes; about 10 s on one core."""
    state = ProjectState(root, "generated")
    state.dataset.mkdir(parents=True)
    write_generated(state.dataset, SMALL)
    config = replace(QUICK, period_days=14)
    trained = run_training(
        state.dataset, state.training, config, RunOptions(split="none")
    )
    plan = PublishPlan(
        trained=trained.folder,
        registry=state.registry,
        signing_key=state.signing_key,
        store=str(state.online_store),
        user_state=state.training / USER_STATE_NAME,
    )
    publish(plan, Console(quiet=True))
    return SmallProject(state)
