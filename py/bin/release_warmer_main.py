"""release_warmer_main: reads and prepares releases for the server that started it.

    release_warmer_main --key=PEM --delta_cache=DIR

Takes releases from standard input, a JSON line {"directory": DIR} each: verifies every
byte, so that its pages are in memory too, completes a delta, and keeps the packed
ranker in the cache from which the server then takes it. Prints JSON lines: {"may_rest":
true} once the server may stop and wake it as it likes, {"ready": true} when it takes
releases, and of each one {"identity": ...} of what it read, or {"error": code,
"reason": text}. Ends with 0 when its input does.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags

# Read by what multiplies matrices, when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from parent_death import end_with_parent
from stepwell.base.errors import StepwellError
from stepwell.models.precision import DEFAULT_PRECISION, Precision

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


def _reader() -> Callable[[Path], str]:
    """Returns what reads a release: directory -> identity."""
    # Not above: these imports take longer than many a release.
    from release_reading import ReleaseReader
    from stepwell.ranking.compiled_cache import CompiledCache
    from stepwell.releases.delta import DeltaCache
    from stepwell.releases.signing import VerifyingKey

    compiled = _COMPILED_CACHE.value
    precision: Precision = _PRECISION.value  # type: ignore[assignment]
    return ReleaseReader(
        VerifyingKey.from_pem((_KEY.value or "").encode()),
        DeltaCache(Path(_DELTA_CACHE.value or "")),
        CompiledCache(Path(compiled)) if compiled else None,
        precision,
    ).read


def _verdict(read: Callable[[Path], str], directory: Path) -> dict[str, str]:
    try:
        return {"identity": read(directory)}
    except (StepwellError, OSError) as error:
        code = error.code if isinstance(error, StepwellError) else "UNAVAILABLE"
        return {"error": code, "reason": str(error)}


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def main(argv: Sequence[str]) -> int:
    """Returns 0 at the end of its input, 2 for wrong flags."""
    if len(argv) > 1:
        print(f"release_warmer_main: {argv[1]}", file=sys.stderr)
        return 2
    # No other signal ends a process that is stopped.
    end_with_parent(_PARENT_PID.value, signal.SIGKILL)
    _say(may_rest=True)
    read = _reader()
    _say(ready=True)
    for line in sys.stdin:
        _say(**_verdict(read, Path(json.loads(line)["directory"])))
    return 0


if __name__ == "__main__":
    app.run(main)
