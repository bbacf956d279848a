"""release_warmer_main: reads and prepares a release for the server that started it.

    release_warmer_main --directory=DIR --key=PEM --delta_cache=DIR

Verifies every byte of the release, so that its pages are in memory too, completes a
delta, and keeps the packed ranker in the cache from which the server then takes it.
Prints a JSON line {"reads": DIR} once the server may stop and wake it as it likes, and
one with its verdict, {"identity": ...} of what it read, or {"error": code, "reason":
text}; ends with 0 when it came to a verdict.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

# Read by OpenMP when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from parent_death import end_with_parent
from stepwell.base.errors import StepwellError
from stepwell.models.precision import DEFAULT_PRECISION, Precision

_DIRECTORY = flags.DEFINE_string("directory", None, "The release.", required=True)
_KEY = flags.DEFINE_string(
    "key", None, "Public key that it is signed with, in PEM.", required=True
)
_DELTA_CACHE = flags.DEFINE_string(
    "delta_cache", None, "Where complete releases of deltas are kept.", required=True
)
_COMPILED_CACHE = flags.DEFINE_string(
    "compiled_cache", "", "Folder of compiled rankers; empty compiles none."
)
_PRECISION = flags.DEFINE_string(
    "scorer_precision", DEFAULT_PRECISION, "Of the full ranker's products."
)
_PARENT_PID = flags.DEFINE_integer("parent_pid", 0, "Ends with this process.")


def _read() -> str:
    # Not above: these imports take longer than many a release.
    from release_reading import read_release
    from stepwell.ranking.compiled_cache import CompiledCache
    from stepwell.releases.delta import DeltaCache
    from stepwell.releases.signing import VerifyingKey

    compiled = _COMPILED_CACHE.value
    precision: Precision = _PRECISION.value  # type: ignore[assignment]
    return read_release(
        Path(_DIRECTORY.value or ""),
        VerifyingKey.from_pem((_KEY.value or "").encode()),
        DeltaCache(Path(_DELTA_CACHE.value or "")),
        CompiledCache(Path(compiled)) if compiled else None,
        precision,
    )


def main(argv: Sequence[str]) -> int:
    """Returns 0 after a verdict, 2 for wrong flags."""
    if len(argv) > 1:
        print(f"release_warmer_main: {argv[1]}", file=sys.stderr)
        return 2
    # No other signal ends a process that is stopped.
    end_with_parent(_PARENT_PID.value, signal.SIGKILL)
    print(json.dumps({"reads": _DIRECTORY.value}), flush=True)
    try:
        verdict = {"identity": _read()}
    except (StepwellError, OSError) as error:
        code = error.code if isinstance(error, StepwellError) else "UNAVAILABLE"
        verdict = {"error": code, "reason": str(error)}
    print(json.dumps(verdict), flush=True)
    return 0


if __name__ == "__main__":
    app.run(main)
