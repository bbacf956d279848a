"""ranker_main whose releases after the first have the fault --canary_fault names."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

import ranker_main
from bad_canary import CanaryFault, worsened
from stepwell.releases.manifest import Manifest
from stepwell.serving.engine import Engine
from stepwell.serving.engine_builder import EngineBuilder

_FAULT = flags.DEFINE_string("canary_fault", None, "Such as slow:2.", required=True)


def main(argv: Sequence[str]) -> int:
    """Serves as ranker_main does."""
    fault = CanaryFault.parse(_FAULT.value)
    build = EngineBuilder.build

    def spoiled(self: EngineBuilder, directory: Path, manifest: Manifest) -> Engine:
        engine = build(self, directory, manifest)
        return engine if manifest.serial == 1 else worsened(engine, fault)

    patched: Any = EngineBuilder
    patched.build = spoiled
    return ranker_main.main(argv)


if __name__ == "__main__":
    sys.exit(app.run(main))
