"""The trainer as a process of its own, for schedulers: trains, prints one JSON line.

    python -m torch.distributed.run --nproc-per-node=1 trainer_main.py --data_dir=...

People use `./stepwell train`, which does the same and shows bars.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from cold_measurement import measure_all
from stepwell.base.errors import FailedPreconditionError, StepwellError
from stepwell.models.ranker_config import DOT, INTERACTIONS
from stepwell.training.import_events import ImportOptions
from stepwell.training.ranker_optimizers import EMBEDDING_OPTIMIZERS
from stepwell.training.ranker_trainer import EtaProgress
from stepwell.training.training_config import PRESETS
from stepwell.training.training_cuts import SPLITS
from stepwell.training.training_run import RunOptions, run_training

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of events.", required=True)
_OUT_DIR = flags.DEFINE_string(
    "out_dir", None, "Where checkpoints and the release go.", required=True
)
_PRESET = flags.DEFINE_enum("preset", "full", sorted(PRESETS), "Size of the training.")
_SPLIT = flags.DEFINE_enum("split", "test", SPLITS, "What is held out and scored.")
_EMBEDDING_OPTIMIZER = flags.DEFINE_enum(
    "embedding_optimizer",
    "adam",
    EMBEDDING_OPTIMIZERS,
    "What trains the full ranker's tables.",
)
_INTERACTION = flags.DEFINE_enum(
    "interaction",
    DOT,
    INTERACTIONS,
    "How the full ranker crosses its vectors: dot products or a cross network.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of everything drawn.", lower_bound=0)
_MAX_REFUSED_SHARE = flags.DEFINE_float(
    "max_refused_share", 0.01, "Part of a file's rows that may be unusable.", 0.0, 1.0
)
_LOG_SECONDS = flags.DEFINE_float(
    "log_seconds", 10.0, "At least so many seconds between two lines.", 0.0
)


def main(argv: list[str]) -> int:
    """Trains; returns 1, with one line that says why, when it cannot."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    try:
        check_world(os.environ)
        trained = run_training(
            Path(_DATA_DIR.value),
            Path(_OUT_DIR.value),
            PRESETS[_PRESET.value]
            .with_embedding_optimizer(_EMBEDDING_OPTIMIZER.value)
            .with_interaction(_INTERACTION.value)
            .seeded(_SEED.value),
            RunOptions(
                split=_SPLIT.value,
                import_options=ImportOptions(_MAX_REFUSED_SHARE.value),
                measure_tiers=measure_all,
                progress=progress_lines(_LOG_SECONDS.value),
            ),
        )
    except (StepwellError, OSError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"folder": str(trained.folder), "card": trained.card}))
    return 0


def check_world(environment: os._Environ[str] | dict[str, str]) -> None:
    """Refuses more than one process: gradients are not shared between them yet.

    Raises:
        FailedPreconditionError: torchrun's WORLD_SIZE is above 1.
    """
    world_size = int(environment.get("WORLD_SIZE", "1"))
    if world_size != 1:
        raise FailedPreconditionError(
            f"WORLD_SIZE is {world_size}, must be 1: every process would train the "
            "same release; start torchrun with --nproc-per-node=1"
        )


def progress_lines(
    seconds: float,
    now: Callable[[], float] = time.monotonic,
    write: Callable[[str], object] = sys.stderr.write,
) -> Callable[[str, float], None]:
    """Returns a progress that writes a line a part, and one every so many seconds."""
    eta = EtaProgress(now)
    last = ("", 0.0)

    def step(part: str, share: float) -> None:
        nonlocal last
        left = eta.seconds_left(part, share)
        if part == last[0] and now() - last[1] < seconds:
            return
        last = (part, now())
        rest = "" if left is None else f", {left:.0f} s left"
        write(f"{part} {share:.0%}{rest}\n")

    return step


if __name__ == "__main__":
    app.run(main)
